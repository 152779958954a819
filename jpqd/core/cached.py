"""Entries of a cache: folders with hashes, which are made anew where they were damaged."""

from collections.abc import Callable
from pathlib import Path

from jpqd.core import artifact, files, seals
from jpqd.core.manifest import FileEntry
from jpqd.core.names import MANIFEST
from jpqd.core.progress import Progress


def is_whole(folder: Path, progress: Progress) -> bool:
    """Return whether an entry is there as it was written; say so where it was changed since."""
    if not folder.exists():
        return False
    problem = _problem(folder)
    if problem:
        progress.warn(f"{folder} in the cache is damaged ({problem}), and is made anew")
    return not problem


def put(folder: Path, make: Callable[[Path], None]) -> None:
    """Make an entry beside its place, and rename it."""
    partial = folder.with_name(folder.name + files.PARTIAL)
    files.remove(partial)
    partial.mkdir(parents=True)
    make(partial)
    artifact.close(partial, {})
    files.remove(folder)
    partial.rename(folder)


def _problem(folder: Path) -> str | None:
    manifest = seals.read(folder / MANIFEST)
    if manifest is None:
        return f"{MANIFEST} is missing or torn"
    entries = {name: FileEntry(**entry) for name, entry in manifest["files"].items()}
    return next(artifact.damage(folder, entries, extra=False), None)
