"""The removal of a run, of one of its stages, of checkpoints, or of the cache. No link is followed.

What is removed lies in the folder of runs, and no other process works on it.
"""

import glob
import shutil
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from jpqd.core import lock
from jpqd.core.artifact import REPLACED
from jpqd.core.errors import RunError, UserError
from jpqd.core.files import PARTIAL
from jpqd.core.names import RECIPE
from jpqd.recipe import plugins
from jpqd.run import finder
from jpqd.run.finder import Run


@dataclass(frozen=True)
class Removal:
    """Folders to remove, and the runs to lock for it."""

    runs: tuple[Path, ...]
    folders: tuple[Path, ...]
    bytes: int


def of_run(root: Path, name: str) -> Removal:
    run = _find(root, name)
    return _removal([run.folder], [run.folder])


def of_stage(root: Path, name: str, stage: str) -> Removal:
    """Choose a stage's folder and its checkpoints."""
    run = _find(root, name)
    return _removal([run.folder], [*_of_stage(run, stage), *_work(run, stage)])


def of_work(root: Path, name: str, stage: str | None) -> Removal:
    """Choose checkpoints: of one stage, or of all."""
    run = _find(root, name)
    if stage:
        _refuse_unknown(run, stage)
    return _removal([run.folder], _work(run, stage) if stage else [run.folder / ".work"])


def of_cache(root: Path) -> Removal:
    """Choose the tokenized data that all runs of a folder share."""
    return _removal([run.folder for run in finder.runs(root)], [root / ".cache"])


def remove(chosen: Removal) -> None:
    """Remove folders. A removal that was killed can be repeated."""
    with ExitStack() as held:
        try:
            for run in chosen.runs:
                held.enter_context(lock.hold_all(run))
            for folder in chosen.folders:
                _remove(folder)
        except OSError as error:
            reason = f"cannot remove {error.filename}: {error.strerror}."
            raise RunError(f"{reason} What is left is there as it was.") from None


def _remove(folder: Path) -> None:
    """Remove a folder; its recipe goes last, so that what is left is still known as a run."""
    for path in sorted(folder.iterdir(), key=lambda path: (path.name == RECIPE, _is_lock(path))):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    folder.rmdir()


def _is_lock(path: Path) -> bool:
    return path.suffix == ".lock"


def _find(root: Path, name: str) -> Run:
    folder = root / name if Path(name).name == name else Path(name)
    if folder.is_symlink():
        raise UserError(f"{folder} is a link; jpqd removes folders only. Remove the link yourself.")
    if folder.resolve().parent != root.resolve():
        raise UserError(f"{folder} is not in {root}. Give the folder that holds it: --runs.")
    if not finder.is_run(folder):
        known = plugins.unknown(name, (run.folder.name for run in finder.runs(root)))
        raise UserError(f"{folder} is no run (there is no {RECIPE} in it); {known}.")
    return finder.find(root, str(folder))


def _refuse_unknown(run: Run, stage: str) -> None:
    known = [*run.names, *run.unsealed]
    if stage not in known or Path(stage).name != stage:
        raise UserError(f"{run.folder}: there is no stage {stage!r}; "
                        f"{plugins.unknown(stage, known)}.")  # fmt: skip


def _of_stage(run: Run, stage: str) -> list[Path]:
    _refuse_unknown(run, stage)
    folder = run.open(stage).folder if stage in run.names else run.folder / stage
    return [folder, *(folder.with_name(folder.name + end) for end in (PARTIAL, REPLACED))]


def _work(run: Run, stage: str) -> list[Path]:
    return list((run.folder / ".work").glob(f"{glob.escape(stage)}-????????????"))


def _removal(runs: Iterable[Path], folders: Iterable[Path]) -> Removal:
    there = [folder for folder in folders if folder.exists() or folder.is_symlink()]
    for folder in there:
        if folder.is_symlink() or not folder.is_dir():
            raise UserError(f"{folder} is a link or a file, not a folder. Remove it yourself.")
    return Removal(tuple(runs), tuple(there), sum(map(_bytes, there)))


def _bytes(folder: Path) -> int:
    return sum(path.lstat().st_size for path in folder.rglob("*"))
