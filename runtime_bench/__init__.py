"""Latency, throughput and accuracy of every arm, measured side by side."""
