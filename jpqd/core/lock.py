"""Locks on folders: one process for each. The kernel releases a lock when its process ends."""

import fcntl
import json
import os
import shutil
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path

from jpqd.core import files
from jpqd.core.errors import BusyError, RunError
from jpqd.core.files import PARTIAL


@contextmanager
def hold(folder: Path) -> Iterator[None]:
    """Lock a run folder, or raise an error that names its holder."""
    path = folder / ".lock"
    with ExitStack() as held:
        try:
            held.enter_context(_held(path, folder))
        except OSError as error:
            raise RunError(
                f"cannot write {path}: {error.strerror}. Choose a folder with --runs."
            ) from None
        yield


@contextmanager
def hold_all(run: Path) -> Iterator[None]:
    """Lock a run folder, and every folder in it that another command may be writing."""
    with ExitStack() as held:
        for path in (run / ".lock", *run.glob(".?*.lock")):
            held.enter_context(_held(path, run))
        yield


@contextmanager
def sealing(final: Path, remedy: str = "") -> Iterator[Path]:
    """Yield an empty folder beside `final`; whoever fills it renames it to `final`.

    The folder is locked for this process. What is left of it is removed before the lock is.
    """
    partial = final.with_name(final.name + PARTIAL)
    with ExitStack() as held:
        try:
            final.parent.mkdir(parents=True, exist_ok=True)
            held.enter_context(_held(final.with_name(f".{final.name}.lock"), final))
            files.remove(partial)  # of a process that was killed
            partial.mkdir()
        except OSError as error:
            place = error.filename or partial
            raise RunError(f"cannot write {place}: {error.strerror}. {remedy}".strip()) from None
        held.callback(shutil.rmtree, partial, ignore_errors=True)
        yield partial


@contextmanager
def _held(path: Path, folder: Path) -> Iterator[None]:
    """Hold a lock file that names its holder; remove it with the lock."""
    handle = _locked(path)
    if handle is None:
        raise BusyError(f"{folder} is in use by {_holder(path)}. Wait, or stop that process.")
    try:
        os.ftruncate(handle, 0)
        os.pwrite(handle, json.dumps(_me()).encode(), 0)
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(handle)


def _locked(path: Path) -> int | None:
    """Lock a file; try again where its last holder removed it in the meantime."""
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if path.exists() and os.path.samestat(os.fstat(handle), path.stat()):
                return handle
        except BlockingIOError:
            os.close(handle)
            return None
        os.close(handle)


def _me() -> dict[str, object]:
    started = datetime.now(UTC).isoformat(timespec="seconds")
    command = " ".join(sys.argv)
    return {"pid": os.getpid(), "host": socket.gethostname(), "since": started, "command": command}


def _holder(path: Path) -> str:
    try:
        who = json.loads(path.read_text())
        return f"process {who['pid']} on {who['host']} since {who['since']} ({who['command']})"
    except (OSError, ValueError, KeyError):
        return "another process"
