"""Figures of predictions, with intervals, and differences on the same rows."""
