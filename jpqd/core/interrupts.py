"""Ctrl-C and terminate: at once where nothing is at stake, at the step boundary while training."""

import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from jpqd.core.errors import Interrupted
from jpqd.core.processes import world_size

SIGNALS = (signal.SIGINT, signal.SIGTERM)
_ECHO_SECONDS = 2.0  # launchers pass the terminal's Ctrl-C on, so that it arrives twice


class _State:
    deferred = False
    pending = 0
    since = 0.0


def install() -> None:
    """From here on the two signals become `Interrupted`."""
    for signum in SIGNALS:
        signal.signal(signum, _handle)


@contextmanager
def deferred() -> Iterator[None]:
    """Inside, the first signal only sets `pending()`; the second one ends the process."""
    _State.deferred, _State.pending = True, 0
    try:
        yield
    finally:
        _State.deferred = False


def pending() -> int:
    """The signal that waits to be obeyed, or 0."""
    return _State.pending


def _handle(signum: int, frame: FrameType | None) -> None:
    if not _State.deferred:
        raise Interrupted("interrupted; run the same command again to continue", signum)
    now = time.monotonic()
    if not _State.pending:
        _State.pending, _State.since = signum, now
        print("stopping after this step; once more to stop at once", file=sys.stderr, flush=True)
    elif world_size() == 1 or now - _State.since > _ECHO_SECONDS:
        os._exit(128 + signum)
