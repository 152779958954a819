"""One runtime each: `use: eager` is eager.py, class Eager."""
