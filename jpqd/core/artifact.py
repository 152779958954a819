"""Sealed folders: written beside, hashed, renamed; whole, or not there."""

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from jpqd.core.errors import DiskFullError, UserError
from jpqd.core.manifest import FileEntry, Manifest
from jpqd.core.names import MANIFEST

PARTIAL = ".partial"
REPLACED = ".replaced"
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_NATIVE = ("no space left", "file too large", "writing file", "os error 28", "iostream error")
"""Parts of the messages with which safetensors, torch and Arrow report a full disk."""


@dataclass(frozen=True)
class Sealed:
    """A sealed folder that was opened."""

    folder: Path
    manifest: Manifest

    def file(self, name: str) -> Path | None:
        """Return the path of a file that the manifest names; None where it names no such file."""
        path = self.folder / name
        if name not in self.manifest.files:
            return None
        if broken := self.broken(name):
            raise UserError(f"{path} is damaged ({broken}). Make the folder again.")
        return path

    def broken(self, name: str) -> str:
        """Return how a file differs from what was sealed; empty where it does not."""
        entry = {name: self.manifest.files[name]}
        return next(damage(self.folder, entry, thorough=True, extra=False), "")


def open_sealed(folder: Path) -> Sealed:
    """Open a sealed folder. Every command reads sealed folders through this function."""
    manifest = read(folder)
    if manifest is None:
        what = "its manifest cannot be read" if folder.exists() else "there is no such folder"
        raise UserError(f"{folder}: {what}. Run its recipe again to make it.")
    return Sealed(folder, manifest)


def digest(value: Any) -> str:
    """Return the SHA-256 of a JSON value: the same for the same content."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def hash_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def hash_folder(folder: Path) -> dict[str, FileEntry]:
    """Hash every file below a folder except its manifest, by relative path."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {
        path.relative_to(folder).as_posix(): FileEntry(
            sha256=hash_file(path), bytes=path.stat().st_size
        )
        for path in files
        if path != folder / MANIFEST
    }


def write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=2, default=str) + "\n")


def sync(path: Path) -> None:
    """Ask the disk itself to hold a file or a folder's list of names."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def close(folder: Path, manifest: dict[str, Any]) -> None:
    """Hash the files of a folder, write its manifest last, and sync everything to disk."""
    files = hash_folder(folder)
    for name in files:
        sync(folder / name)
    manifest["files"] = {name: entry.model_dump() for name, entry in files.items()}
    write_json(folder / MANIFEST, manifest)
    sync(folder / MANIFEST)
    sync(folder)


def publish(partial: Path, final: Path) -> None:
    """Rename a closed folder into place, and only then delete what stood there before."""
    replaced = final.with_name(final.name + REPLACED)
    shutil.rmtree(replaced, ignore_errors=True)
    if final.exists():
        final.rename(replaced)
    partial.rename(final)
    sync(final.parent)
    shutil.rmtree(replaced, ignore_errors=True)


def seal(partial: Path, final: Path, manifest: Manifest) -> None:
    close(partial, manifest.model_dump(mode="json"))
    publish(partial, final)


def recover(final: Path) -> None:
    """Finish a `publish` that was killed between its two renames, or restore the old folder."""
    partial = final.with_name(final.name + PARTIAL)
    replaced = final.with_name(final.name + REPLACED)
    if final.exists() or not replaced.exists():
        return
    if read(partial) is not None:
        partial.rename(final)
    else:
        replaced.rename(final)


def read(folder: Path) -> Manifest | None:
    """Return the manifest of a sealed folder; None where none can be read."""
    try:
        return Manifest.model_validate_json((folder / MANIFEST).read_bytes())
    except (OSError, ValidationError):
        return None


def damage(
    folder: Path, files: dict[str, FileEntry], *, thorough: bool, extra: bool = True
) -> Iterator[str]:
    """Name what differs from the manifest: sizes; with `thorough` also contents and extra files."""
    for name, entry in files.items():
        path = folder / name
        if not path.is_file():
            yield f"{name}: missing"
        elif path.stat().st_size != entry.bytes:
            yield f"{name}: {path.stat().st_size} bytes instead of {entry.bytes}"
        elif thorough and hash_file(path) != entry.sha256:
            yield f"{name}: content differs from its SHA-256"
    if thorough and extra:
        for path in sorted(folder.rglob("*")):
            name = path.relative_to(folder).as_posix()
            if path.is_file() and name not in files and name != MANIFEST:
                yield f"{name}: not in the manifest"


@contextmanager
def disk_full_is_clear(folder: Path, kept: str) -> Iterator[None]:
    """Turn the many errors of a full disk into one message that says what is safe."""
    try:
        yield
    except Exception as error:
        if isinstance(error, DiskFullError) or not _is_full(error, folder):
            raise
        free = shutil.disk_usage(folder).free / 1e6
        raise DiskFullError(
            f"no room to write in {folder} ({free:.0f} MB free): {error}\n"
            f"{kept} Free some space, or choose another disk with --runs, and run again."
        ) from error


def _is_full(error: BaseException, folder: Path) -> bool:
    """Return whether a full disk caused this error; native writers wrap ENOSPC in their own."""
    if isinstance(error, OSError) and error.errno in _FULL:
        return True
    text = str(error).lower()
    native = any(mark in text for mark in _NATIVE)
    return native or shutil.disk_usage(folder).free < 1_000_000
