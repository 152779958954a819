"""Find runs, their stages and their baseline, and open what is sealed."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from jpqd.core import artifact
from jpqd.core.artifact import Sealed
from jpqd.core.errors import UserError
from jpqd.core.manifest import FolderKind, Manifest
from jpqd.core.names import MANIFEST, RECIPE
from jpqd.recipe import task as tasks
from jpqd.recipe.task import Task

TEACHER = "teacher"
"""The name of the stage that is the baseline, where a run has it."""


@dataclass(frozen=True)
class Run:
    """A run folder and its sealed stages, in the recipe's order, others as they were made."""

    folder: Path
    sealed: tuple[Sealed, ...]
    unsealed: tuple[str, ...] = ()
    """Stages of its recipe without a readable manifest."""

    @property
    def newest(self) -> float:
        return max((_manifest_time(stage.folder) for stage in self.sealed), default=0)

    @property
    def stages(self) -> list[Manifest]:
        return [stage.manifest for stage in self.sealed]

    @property
    def names(self) -> list[str]:
        return [stage.stage for stage in self.stages]

    @property
    def recipe(self) -> dict[str, Any]:
        """The run's recipe; empty where it is lost."""
        return read_recipe(self.folder) or {}

    def of_kind(self, kind: FolderKind) -> list[str]:
        return [stage.stage for stage in self.stages if stage.kind == kind]

    def open(self, name: str) -> Sealed:
        return next(stage for stage in self.sealed if stage.manifest.stage == name)

    def baseline(self) -> str:
        """Name the teacher, or else the first model that was trained."""
        models = self.of_kind("model")
        if TEACHER in [*models, *self.unsealed]:
            return TEACHER
        if not models:
            raise UserError(
                f"{self.folder}: no trained stage is sealed. Run its recipe to the end."
            )
        return models[0]

    def in_order(self) -> list[Manifest]:
        """Return the stages in the recipe's order, each export after its stage."""
        order = list(self.recipe.get("stages", ()))

        def place(stage: Manifest) -> tuple[int, bool]:
            exported = stage.kind == "ir"
            names = stage.made_of if exported else (stage.stage,)
            places = [order.index(name) for name in names if name in order]
            return max(places, default=len(order)), exported

        return sorted(self.stages, key=place)

    def damage(self) -> list[str]:
        """Name every file that differs from its manifest, and folders without a manifest."""
        lost = [f"{stage}/{MANIFEST}: missing or torn" for stage in self.unsealed
                if (self.folder / stage).exists()]  # fmt: skip
        for stage in self.sealed:
            damage = artifact.damage(stage.folder, stage.manifest.files, thorough=True)
            lost += [f"{stage.folder.name}/{what}" for what in damage]
        return lost


def runs(root: Path) -> list[Run]:
    """List every run below a folder, the newest first."""
    folders = [path.parent for path in root.glob(f"*/{RECIPE}")] if root.is_dir() else []
    return sorted(map(_run, folders), key=lambda run: run.newest, reverse=True)


def find(root: Path, name: str | None = None) -> Run:
    """Find a run by its name below `root`, or by its folder anywhere; the newest without a name."""
    if name is not None and is_run(Path(name)):
        return _run(Path(name).resolve())
    known = runs(root)
    if not known:
        raise UserError(f"there are no runs in {root}. Run a recipe, or give their folder: --runs.")
    if name is None:
        return known[0]
    for run in known:
        if name in (run.folder.name, str(run.folder)):
            return run
    raise UserError(
        f"there is no run {name!r} in {root}. Runs: {', '.join(r.folder.name for r in known)}"
    )


def is_run(folder: Path) -> bool:
    return (folder / RECIPE).is_file()


def around(folder: Path) -> Path | None:
    """Find the run that a stage's folder belongs to."""
    parent = folder.resolve().parent
    return parent if is_run(parent) else None


def read_recipe(folder: Path) -> dict[str, Any] | None:
    """Read the recipe of a run; None where no run made the folder."""
    try:
        recipe = json.loads((folder / RECIPE).read_text())
    except (OSError, ValueError):
        return None
    return recipe if isinstance(recipe, dict) else None


def task_of(run: Path) -> Task:
    """Read the task of a run's recipe."""
    try:
        return tasks.build((read_recipe(run) or {}).get("task"))
    except ValidationError as error:
        raise UserError(f"the task in {run / RECIPE} is not valid: {error}") from error


def _run(folder: Path) -> Run:
    wanted = list((read_recipe(folder) or {}).get("stages", ()))
    order = {stage: place for place, stage in enumerate(wanted)}
    sealed = tuple(sorted(_sealed(folder), key=lambda stage: _place(stage.manifest, order)))
    known = {stage.manifest.stage for stage in sealed}
    return Run(folder, sealed, tuple(stage for stage in wanted if stage not in known))


def _place(manifest: Manifest, order: dict[str, int]) -> tuple[int, str]:
    """Return a key for sorting: the recipe's order, then when it was made. Copies change times."""
    return order.get(manifest.stage, len(order)), manifest.created


def _sealed(folder: Path) -> Iterator[Sealed]:
    folders = [path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")]
    folders = [
        path for path in folders if not path.name.endswith((artifact.PARTIAL, artifact.REPLACED))
    ]
    for path in sorted(folders):
        if manifest := artifact.read(path):
            yield Sealed(path, manifest)


def _manifest_time(folder: Path) -> float:
    try:
        return (folder / MANIFEST).stat().st_mtime
    except OSError:
        return 0.0
