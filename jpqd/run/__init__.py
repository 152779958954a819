"""Runs: planning them, running them, and finding them again."""
