"""Stages of the benchmark: `use: bench` will be bench.py, class Bench."""
