"""Find runs, their stages and their baseline, and open what is sealed."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from jpqd.core import artifact, files, seals
from jpqd.core.artifact import Sealed
from jpqd.core.errors import UserError
from jpqd.core.manifest import FolderKind, Manifest
from jpqd.core.names import MANIFEST, RECIPE
from jpqd.recipe import task as tasks
from jpqd.recipe.task import Task

_CHANGED = "missing, torn, or changed after it was sealed"
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
    def newest(self) -> tuple[str, float]:
        """Return when its last stage was sealed. Copies change the times of files."""
        made = max((stage.created for stage in self.stages), default="")
        return made, max((_manifest_time(stage.folder) for stage in self.sealed), default=0)

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
        """Name the teacher, or else the first model that was trained, or else the first IR."""
        models = self.of_kind("model") or self.of_kind("ir")
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
        lost = self.unreadable()
        for stage in self.sealed:
            damage = artifact.damage(stage.folder, stage.manifest.files)
            lost += [f"{stage.folder.name}/{what}" for what in damage]
            lost += [f"{stage.folder.name}: {what}" for what in self._other_parents(stage.manifest)]
        return lost

    def unreadable(self) -> list[str]:
        """Name what cannot be read at all. No file is hashed."""
        lost = [] if read_recipe(self.folder) else [f"{RECIPE}: {_CHANGED}"]
        return lost + [f"{name}: {what}" for name, what in self._strange()]

    def _strange(self) -> Iterator[tuple[str, str]]:
        """Name the folders that should be sealed stages and are not."""
        sealed = {stage.folder for stage in self.sealed}
        for folder in sorted({*_folders(self.folder), *map(self.folder.joinpath, self.unsealed)}):
            expected = folder.name in self.unsealed or (folder / MANIFEST).exists()
            if folder in sealed or not expected or not folder.exists():
                continue
            manifest = artifact.read(folder)
            copied = manifest and f"holds the stage {manifest.stage!r} under another name"
            yield folder.name, copied or str(artifact.problem(folder))

    def _other_parents(self, manifest: Manifest) -> Iterator[str]:
        """Name the stages that were made again, or swapped, after this one was made of them."""
        here = {stage.stage: stage.fingerprint for stage in self.stages}
        for parent, fingerprint in manifest.inputs.get("parents", {}).items():
            if here.get(parent, fingerprint) != fingerprint:
                yield f"was made of another {parent!r} than the one in this run"

    def outdated(self) -> dict[str, str]:
        """Name the stages that were made of others than those in this run, and say of which."""
        found: dict[str, str] = {}
        for manifest in self.in_order():
            parents = manifest.inputs.get("parents", {})
            older = [f"was made of {one!r}, which {found[one]}" for one in parents if one in found]
            if why := next(chain(self._other_parents(manifest), older), None):
                found[manifest.stage] = why
        return found

    def not_covered(self) -> list[str]:
        """Name what lies in the run and has no hash: checkpoints, reports, manifests of 0.1."""
        covered = {RECIPE, *(stage.folder.name for stage in self.sealed), *self.unsealed}
        others = [path.name for path in self.folder.iterdir() if path.name not in covered]
        old = [f"{stage.stage}/{MANIFEST}" for stage in self.stages if stage.format == 1]
        return sorted(others) + old


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
    """Read the recipe of a run; None where no run made the folder, or where it was edited."""
    recipe = seals.read(folder / RECIPE)
    if not recipe or not _has_a_recipes_form(recipe):
        return None
    return {key: value for key, value in recipe.items() if key != seals.FORMAT}


def _has_a_recipes_form(recipe: dict[str, Any]) -> bool:
    """Say whether stages and task are what a run writes: a stranger can seal anything."""
    stages = recipe.get("stages")
    every = [recipe.get("task"), stages, *(stages.values() if isinstance(stages, dict) else ())]
    return all(isinstance(part, dict) for part in every)


def task_of(run: Path) -> Task:
    """Read the task of a run's recipe."""
    try:
        return tasks.build((read_recipe(run) or {}).get("task"))
    except ValidationError as error:
        said = error.errors()[0]["msg"]
        raise UserError(f"the task in {run / RECIPE} is not valid: {said}") from error


def _run(folder: Path) -> Run:
    wanted = list((read_recipe(folder) or {}).get("stages", ()))
    order = {stage: place for place, stage in enumerate(wanted)}
    sealed = tuple(sorted(_sealed(folder), key=lambda stage: _place(stage.manifest, order)))
    known = {stage.manifest.stage for stage in sealed}
    return Run(folder, sealed, tuple(stage for stage in wanted if stage not in known))


def _place(manifest: Manifest, order: dict[str, int]) -> tuple[int, str]:
    """Return a key for sorting: the recipe's order, then when it was made. Copies change times."""
    return order.get(manifest.stage, len(order)), manifest.created


def _folders(run: Path) -> Iterator[Path]:
    passing = (files.PARTIAL, artifact.REPLACED)
    for path in sorted(run.iterdir()):
        if path.is_dir() and not path.name.startswith(".") and not path.name.endswith(passing):
            yield path


def _sealed(run: Path) -> Iterator[Sealed]:
    for path in _folders(run):
        manifest = artifact.read(path)
        if manifest and manifest.stage == path.name:
            yield Sealed(path, manifest)


def _manifest_time(folder: Path) -> float:
    try:
        return (folder / MANIFEST).stat().st_mtime
    except OSError:
        return 0.0
