"""Sealed folders: written beside, hashed, renamed; whole, or not there."""

import errno
import hashlib
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from jpqd.core import files, seals
from jpqd.core.errors import DiskFullError, UserError
from jpqd.core.files import PARTIAL
from jpqd.core.manifest import FileEntry, Manifest
from jpqd.core.names import MANIFEST

REPLACED = ".replaced"
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_NATIVE = ("no space left", "file too large", "writing file", "os error 28", "iostream error")
"""Parts of the messages with which safetensors, torch and Arrow report a full disk."""

_HASHES: dict[tuple[int, ...], str] = {}
"""Hashes of this process by the state of the file, wherever it was renamed to."""


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
        return next(damage(self.folder, entry, extra=False), "")


def open_sealed(folder: Path) -> Sealed:
    """Open a sealed folder whose content is used, and check every file of it."""
    manifest = read(folder)
    if manifest is None:
        raise UserError(f"{folder}: {problem(folder)}. Run its recipe again to make it.")
    if broken := list(damage(folder, manifest.files)):
        raise UserError(
            f"{folder} is damaged: {'; '.join(broken[:3])}. "
            "Remove what is too much, and run its recipe again to make it."
        )
    return Sealed(folder, manifest)


def problem(folder: Path) -> str | None:
    """Say why a folder has no manifest that can be used; None where it has one."""
    if not folder.is_dir():
        return "there is no such folder"
    if not (folder / MANIFEST).is_file():
        return f"{MANIFEST} is missing"
    return None if read(folder) else f"{MANIFEST} is torn, or was changed after it was sealed"


def hash_file(path: Path) -> str:
    """Return a file's SHA-256. A file that has not changed is hashed once in a process."""
    at = path.stat()
    state = (at.st_dev, at.st_ino, at.st_size, at.st_mtime_ns, at.st_ctime_ns)
    if state not in _HASHES:
        with path.open("rb") as file:
            _HASHES[state] = hashlib.file_digest(file, "sha256").hexdigest()
    return _HASHES[state]


def hash_folder(folder: Path) -> dict[str, FileEntry]:
    """Hash every file below a folder except its manifest, by relative path."""
    found = sorted(path for path in folder.rglob("*") if path.is_file())
    return {
        path.relative_to(folder).as_posix(): FileEntry(
            sha256=hash_file(path), bytes=path.stat().st_size
        )
        for path in found
        if path != folder / MANIFEST
    }


def close(folder: Path, manifest: dict[str, Any]) -> None:
    """Hash the files of a folder, write its manifest last, and sync everything to disk."""
    content = hash_folder(folder)
    for name in content:
        files.sync(folder / name)
    entries = {name: entry.model_dump() for name, entry in content.items()}
    seals.write(folder / MANIFEST, {**manifest, "files": entries})
    files.sync(folder)


def publish(partial: Path, final: Path) -> None:
    """Rename a closed folder into place, and only then delete what stood there before."""
    replaced = final.with_name(final.name + REPLACED)
    files.remove(replaced)
    if final.exists() or final.is_symlink():
        final.rename(replaced)
    partial.rename(final)
    files.sync(final.parent)
    files.remove(replaced)


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
    """Return the manifest of a sealed folder; None where there is none that can be used."""
    content = seals.read(folder / MANIFEST)
    try:
        return None if content is None else Manifest.model_validate(content)
    except ValidationError:
        return None


def damage(folder: Path, sealed: dict[str, FileEntry], *, extra: bool = True) -> Iterator[str]:
    """Name what differs from the manifest: sizes, contents, and by `extra` files that it lacks."""
    for name, entry in sealed.items():
        path = folder / name
        if not path.is_file():
            yield f"{name}: missing"
        elif path.stat().st_size != entry.bytes:
            yield f"{name}: {path.stat().st_size} bytes instead of {entry.bytes}"
        elif hash_file(path) != entry.sha256:
            yield f"{name}: content differs from its SHA-256"
    if extra:
        for path in sorted(folder.rglob("*")):
            name = path.relative_to(folder).as_posix()
            if path.is_file() and name not in sealed and name != MANIFEST:
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
