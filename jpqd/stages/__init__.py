"""Stages: `use: train` is train.py, class Train."""
