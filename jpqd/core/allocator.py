"""tcmalloc for training, where the system has it.

Batches have many lengths, so steps ask for memory in hundreds of sizes. glibc walks a list of free
blocks to find one: a fifth of a step of a 12-layer encoder, and twice the memory.
"""

from __future__ import annotations

import ctypes
import os
import sys

_LIBRARIES = ("libtcmalloc_minimal.so.4", "libtcmalloc.so.4")
_PRELOAD, _CHOSEN = "LD_PRELOAD", "JPQD_ALLOCATOR"
"""The loader's variable, and ours: what was found, or `system` to leave it as it is."""


def use() -> None:
    """Start this process again with tcmalloc, unless somebody has chosen an allocator."""
    if os.environ.get(_CHOSEN):
        _leave_children_alone()
    elif sys.platform == "linux" and not os.environ.get(_PRELOAD) and (found := _found()):
        os.environ.update({_PRELOAD: found, _CHOSEN: found})
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606


def _found() -> str | None:
    for name in _LIBRARIES:
        try:
            ctypes.CDLL(name)
        except OSError:
            continue
        return name
    return None


def _leave_children_alone() -> None:
    """Let the arms of a benchmark run as they would for anyone."""
    if os.environ.get(_PRELOAD) == os.environ[_CHOSEN]:
        del os.environ[_PRELOAD]
