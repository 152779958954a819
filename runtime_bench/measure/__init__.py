"""How it is measured: workers, blocks, statistics."""
