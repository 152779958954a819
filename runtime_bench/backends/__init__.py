"""One runtime in each file: its settings, a Backend, and its Session. Arms are in arms.py."""
