"""One run folder, one process. The kernel drops the lock with the process, however it dies."""

import json
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout

from jpqd.errors import BusyError


@contextmanager
def hold(folder: Path) -> Iterator[None]:
    """Hold a run folder, or say at once who does."""
    lock, note = FileLock(folder / ".lock"), folder / ".holder.json"
    try:
        lock.acquire(blocking=False)
    except Timeout:
        raise BusyError(f"{folder} is in use by {_holder(note)}. Wait, or stop that one.") from None
    try:
        note.write_text(json.dumps(_me()))
        yield
    finally:
        note.unlink(missing_ok=True)
        lock.release()


def _me() -> dict[str, object]:
    started = datetime.now(UTC).isoformat(timespec="seconds")
    command = " ".join(sys.argv)
    return {"pid": os.getpid(), "host": socket.gethostname(), "since": started, "command": command}


def _holder(note: Path) -> str:
    try:
        who = json.loads(note.read_text())
        return f"process {who['pid']} on {who['host']} since {who['since']} ({who['command']})"
    except (OSError, ValueError, KeyError):
        return "another process"
