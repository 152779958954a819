"""Ctrl-C, SIGTERM, SIGHUP: they stop training at the end of a step, all else at once."""

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from jpqd.core.errors import Interrupted
from jpqd.core.processes import world_size

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_RETRY_SECONDS = 0.02
_ECHO_SECONDS = 2.0  # launchers pass the terminal's Ctrl-C on, so that it arrives twice


class _State:
    deferred = False
    pending = 0
    since = 0.0


def install() -> None:
    """Make the signals raise `Interrupted` from now on; what `nohup` ignores stays ignored."""
    for signum in SIGNALS:
        if signum != signal.SIGHUP or signal.getsignal(signum) is not signal.SIG_IGN:
            signal.signal(signum, _handle)
    if sys.unraisablehook is not _again:
        sys.unraisablehook = _again


def end_at_once() -> None:
    """Let Ctrl-C end the process while it starts: there is nothing to keep or to show."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)


@contextmanager
def deferred() -> Iterator[None]:
    """Let the first signal only set `pending()`; the second one ends the process."""
    _State.deferred, _State.pending = True, 0
    try:
        yield
    finally:
        _State.deferred = False


def pending() -> int:
    """Return the signal that waits to be handled, or 0."""
    return _State.pending


def _handle(signum: int, frame: FrameType | None) -> None:
    if _is_importing(frame):
        _send_later(signum)
        return
    if not _State.deferred:
        raise Interrupted("interrupted; run the same command again to continue", signum)
    now = time.monotonic()
    if not _State.pending:
        _State.pending, _State.since = signum, now
        print(
            "stopping after this step; press Ctrl-C again to stop at once",
            file=sys.stderr,
            flush=True,
        )
    elif world_size() == 1 or now - _State.since > _ECHO_SECONDS:
        os._exit(128 + signum)


def _again(lost: Any) -> None:
    """Send a signal once more whose exception Python dropped: it came within a destructor."""
    if isinstance(lost.exc_value, Interrupted):
        _send_later(lost.exc_value.exit_code - 128)
    else:
        sys.__unraisablehook__(lost)


def _is_importing(frame: FrameType | None) -> bool:
    """Tell whether a module is being imported: C++ code that imports ends on an exception."""
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False


def _send_later(signum: int) -> None:
    threading.Timer(_RETRY_SECONDS, os.kill, (os.getpid(), signum)).start()
