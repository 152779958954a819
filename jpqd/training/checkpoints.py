"""Checkpoints of a training stage: written beside, hashed, renamed; the newest whole one counts."""

from pathlib import Path
from typing import Any

from jpqd.core import artifact, files, seals
from jpqd.core.manifest import FileEntry
from jpqd.core.names import MANIFEST
from jpqd.core.progress import Progress

_STAGING = ".writing"
_TORN = "torn-"
_STEP = "step-"
_FORMAT = 2
"""The format of a checkpoint. Those of version 0.1, which transformers wrote, have no number."""


class Checkpoints:
    """The folder of one stage's checkpoints. Only the main process calls what writes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.staging = folder / _STAGING

    def at(self, step: int) -> Path:
        return self.folder / f"{_STEP}{step}"

    def steps(self) -> list[int]:
        """Newest first."""
        found = [path.name.removeprefix(_STEP) for path in self.folder.glob(f"{_STEP}*")]
        return sorted((int(name) for name in found if name.isdigit()), reverse=True)

    def newest(self, progress: Progress) -> Path | None:
        """The newest checkpoint that is whole, with the best one it refers to."""
        files.remove(self.staging)
        for step in self.steps():
            folder = self.at(step)
            problem = self._problem(folder)
            if problem is None:
                return folder
            aside = folder.with_name(f"{_TORN}{folder.name}")
            files.remove(aside)
            folder.rename(aside)
            progress.warn(f"checkpoint {folder.name} {problem}; moved to {aside.name}")
        return None

    def _problem(self, folder: Path) -> str | None:
        """Say why it cannot be used."""
        manifest = _read(folder)
        if manifest is None:
            return "is not whole (its manifest cannot be read)"
        if manifest["format"] != _FORMAT:
            return "is of another version of jpqd, which cannot be continued by this one"
        broken = self._broken(folder, manifest)
        return broken and f"is not whole ({broken})"

    def _broken(self, folder: Path, manifest: dict[str, Any]) -> str | None:
        """Say what is damaged, there or in the best one so far, which is loaded at the end."""
        problem = _damage(folder, manifest)
        best = manifest["best_step"]
        if problem or best in (None, manifest["step"]):
            return problem
        chosen = _read(self.at(best))
        problem = "no manifest" if chosen is None else _damage(self.at(best), chosen)
        return problem and f"the best one so far, {_STEP}{best}: {problem}"

    def commit(self, written: Path, step: int, best_step: int | None) -> None:
        """Seal what was written in staging, then drop what is no longer needed."""
        artifact.close(written, {"format": _FORMAT, "step": step, "best_step": best_step})
        artifact.publish(written, self.at(step))
        files.remove(self.staging)
        self._rotate()

    def _rotate(self) -> None:
        """Keep the newest two, so that a torn one costs little, each with its best one."""
        newest = self.steps()[:2]
        known = [_read(self.at(step)) for step in newest]
        kept = {*newest, *(manifest["best_step"] for manifest in known if manifest)}
        for step in self.steps():
            if step not in kept:
                files.remove(self.at(step))


def _read(folder: Path) -> dict[str, Any] | None:
    try:
        manifest = seals.read(folder / MANIFEST) or {}
        entries = {name: FileEntry(**entry) for name, entry in manifest["files"].items()}
        facts = {name: manifest[name] for name in ("step", "best_step")}
        return {**facts, "format": manifest.get("format"), "files": entries}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _damage(folder: Path, manifest: dict[str, Any]) -> str | None:
    return next(artifact.damage(folder, manifest["files"]), None)
