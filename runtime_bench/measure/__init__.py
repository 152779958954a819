"""Measuring: workers, blocks and statistics."""
