"""The memory of this process, as Linux counts it."""

import gc

from jpqd.core import memory


def peak_mb() -> float:
    """Return the peak resident memory; `getrusage` would include the parent's."""
    return memory.peak_mb() or float("nan")


def settled_mb() -> float:
    """Return the resident memory in use, after what is free was given back to the system."""
    gc.collect()
    memory.give_back()
    return memory.taken_mb() or float("nan")
