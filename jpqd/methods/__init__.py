"""Methods: `use: prune` is prune.py, class Prune."""
