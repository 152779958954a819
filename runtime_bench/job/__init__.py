"""The object of a benchmark: folders, arms and rows."""
