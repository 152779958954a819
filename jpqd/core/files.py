"""Files and folders, written whole or not at all, and never through a link."""

import json
import os
import secrets
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jpqd.core.errors import RunError, UserError

PARTIAL = ".partial"
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def write_text(path: Path, text: str) -> Path:
    """Write a new file beside its place and rename it: a link in that place is replaced."""
    beside = path.with_name(f".{path.name}.{secrets.token_hex(8)}{PARTIAL}")
    try:
        with open(os.open(beside, _NEW, 0o666), "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        return beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def write_json(path: Path, value: Any) -> Path:
    return write_text(path, json.dumps(value, indent=2, default=str) + "\n")


def put(path: Path, write: Callable[[Path], object]) -> None:
    """Let a file be written beside its place, then rename it: a kill leaves it whole, or absent."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(PARTIAL)
    write(partial)
    sync(partial)
    partial.replace(path)


def make_folder(path: Path, remedy: str) -> None:
    """Create a folder and those around it, or say why not."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        file = next(place for place in (path, *path.parents) if place.exists())
        raise UserError(f"cannot create {path}: {file} is no folder. {remedy}") from None
    except OSError as error:
        raise RunError(f"cannot create {path}: {error.strerror}. {remedy}") from None


def sync(path: Path) -> None:
    """Ask the disk itself to hold a file or a folder's list of names."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def remove(path: Path) -> None:
    """Delete a file, a folder or a link; what a link points to stays."""
    if path.is_symlink() or path.is_file():
        path.unlink()
    else:
        shutil.rmtree(path, ignore_errors=True)


def refuse_links(path: Path, below: Path) -> None:
    """Refuse a path with a link in it, below a folder that somebody else may have filled."""
    for place in [path, *path.parents]:
        if place == below:
            return
        if place.is_symlink():
            raise UserError(
                f"{place} is a link to {place.readlink()}, and nothing is written through a link "
                "inside a run. Remove the link."
            )
