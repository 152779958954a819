"""The machine and its devices."""
