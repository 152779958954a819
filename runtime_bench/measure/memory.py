"""The memory of this process, as Linux counts it."""

import gc
from pathlib import Path

from jpqd.core import memory


def peak_mb() -> float:
    """Return the peak resident memory; `getrusage` would include the parent's."""
    return _status_mb("VmHWM")


def settled_mb() -> float:
    """Return the resident memory in use, after what is free was given back to the system."""
    gc.collect()
    memory.give_back()
    return _status_mb("VmRSS")


def _status_mb(key: str) -> float:
    status = Path("/proc/self/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith(f"{key}:"))
    return int(line.split()[1]) * 1024 / 1e6
