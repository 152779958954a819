"""The memory of this process: what it takes, and what is free, back to the system."""

import ctypes
import re
from contextlib import suppress
from pathlib import Path

_MACHINE = Path("/proc/meminfo")
_STATUS, _FORGET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def forget_peak() -> bool:
    """Count the peak anew from here; return whether the system can."""
    try:
        _FORGET.write_text("5")
    except OSError:
        return False
    return True


def peak_mb() -> float | None:
    """Return the most resident memory so far, where the system counts it as Linux does."""
    return _status_mb("VmHWM")


def taken_mb() -> float | None:
    """Return the resident memory."""
    return _status_mb("VmRSS")


def free_bytes() -> int | None:
    """Return the memory that programs can still take."""
    return _bytes(_MACHINE, "MemAvailable")


def _status_mb(key: str) -> float | None:
    found = _bytes(_STATUS, key)
    return None if found is None else found / 1e6


def _bytes(file: Path, key: str) -> int | None:
    with suppress(OSError):
        if found := re.search(rf"^{key}:\s*(\d+) kB", file.read_text(), re.MULTILINE):
            return int(found[1]) * 1024
    return None


def give_back() -> None:
    """Give free memory back that lies between pieces in use, where the C library can."""
    with suppress(AttributeError):  # another C library keeps what it likes
        ctypes.CDLL(None).malloc_trim(0)
