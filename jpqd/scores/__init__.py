"""Figures of predictions, with intervals; differences on the same rows."""
