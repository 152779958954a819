"""Benchmarks of latency, throughput and accuracy, with all arms side by side."""
