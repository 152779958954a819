"""The plan of a run: which stages are sealed, which ones run, and why."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any, Literal

from jpqd import tasks
from jpqd.core import artifact, environment, seals
from jpqd.core.errors import UserError
from jpqd.core.manifest import Manifest
from jpqd.data import preflight, sources
from jpqd.recipe.contracts import Stage
from jpqd.recipe.recipes import Recipe
from jpqd.recipe.task import Task
from jpqd.tasks import Kind

Status = Literal["sealed", "new", "continue", "changed", "damaged"]
_OF_CLASSES = ("bit_widths", "robustness", "sensitivity")
_OF_TEXTS = ("latency_table", "search")
_MATTERS = ("jpqd", "torch", "transformers", "nncf", "openvino", "optimum-intel")


@dataclass(frozen=True)
class Step:
    """One stage of a plan."""

    id: str
    stage: Stage
    folder: Path
    work: Path
    fingerprint: str
    inputs: dict[str, Any]
    status: Status
    why: tuple[str, ...]
    disk_bytes: int | None
    manifest: Manifest | None


def plan(recipe: Recipe, run: Path) -> list[Step]:
    """Return the steps in order. Read the recipe's files and the run folder, and write nothing."""
    preflight.check(recipe.model, recipe.task)
    kind = tasks.load(recipe.task.use) if recipe.task.use else None
    _refuse_unfit(recipe, kind)
    pooled = bool(kind and kind.vectors)
    model = sources.model_identity(recipe.model, pooled=pooled)
    data = {**_keys_of_01(recipe.task), "dataset": sources.dataset_identity(recipe.task)}
    weights = sources.weights_bytes(recipe.model)
    steps: list[Step] = []
    for name, stage in recipe.stages.items():
        parents = {step.id: step.fingerprint for step in steps if step.id in stage.inputs()}
        inputs = {
            "stage": stage.plain(),
            "task": data,
            "seed": recipe.seed,
            "parents": parents,
            "versions": versions(),
        }
        if stage.start() is None:
            inputs["model"] = model
        if others := stage.sources():
            inputs["sources"] = {one: sources.identity(one, pooled=pooled) for one in others}
        steps.append(_step(name, stage, run, inputs, weights))
    return steps


def _refuse_unfit(recipe: Recipe, kind: type[Kind] | None) -> None:
    """Refuse stages that know classes and numbers only, before anything runs."""
    for name, stage in recipe.stages.items():
        if kind and kind.rows_are_text and stage.use == "vocabulary":
            raise UserError(
                f"{name}: `use: vocabulary`: with fewer pieces a running text falls into other "
                "windows, so nothing could be compared. Leave it out."
            )
        unfit = _OF_CLASSES + (_OF_TEXTS if kind and kind.rows_are_text else ())
        if kind and (kind.follows or kind.rows_are_text) and stage.use in unfit:
            raise UserError(
                f"{name}: `use: {stage.use}` does not measure models of `use: {kind.use}`. Leave "
                "it out."
            )


def _keys_of_01(task: Task) -> dict[str, Any]:
    """Return the task's keys as version 0.1 named them: a new name must not cause new training."""
    return {("kind" if key == "use" else key): value for key, value in task.plain().items()}


def _step(name: str, stage: Stage, run: Path, inputs: dict[str, Any], weights: int | None) -> Step:
    inputs = _without_unset(inputs)
    fingerprint, folder = seals.digest(inputs), run / name
    manifest = artifact.read(folder)
    if manifest and _placeless(manifest.inputs) == _placeless(inputs):
        inputs, fingerprint = manifest.inputs, manifest.fingerprint
    work = run / ".work" / f"{name}-{fingerprint[:12]}"
    status, why = _status(folder, work, manifest, fingerprint, inputs)
    disk = None if weights is None else stage.disk_bytes(weights)
    return Step(name, stage, folder, work, fingerprint, inputs, status, why, disk, manifest)


def _placeless(inputs: dict[str, Any]) -> dict[str, Any]:
    """Name the files that a stage reads by their content: one that was moved is still the same."""
    contents = {place: seals.digest(of) for place, of in inputs.get("sources", {}).items()}

    def renamed(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: renamed(inner) for key, inner in value.items()}
        if isinstance(value, list):
            return [renamed(inner) for inner in value]
        # A key may name the folder of the file that is read.
        found = (of for place, of in contents.items() if value in (place, _above(place)))
        return next(found, value)

    return {**renamed(inputs), "sources": sorted(contents.values())}


def _above(place: str) -> str | None:
    folder, found, _ = place.rpartition("/")
    return folder if found else None


def _without_unset(value: Any) -> Any:
    """Remove options that are not set: a new option must not cause new training."""
    if isinstance(value, dict):
        return {key: _without_unset(inner) for key, inner in value.items() if inner is not None}
    return [_without_unset(inner) for inner in value] if isinstance(value, list) else value


def _status(
    folder: Path, work: Path, manifest: Manifest | None, fingerprint: str, inputs: dict[str, Any]
) -> tuple[Status, tuple[str, ...]]:
    if manifest is None:
        if folder.exists():
            return "damaged", (str(artifact.problem(folder)),)
        return ("continue", ("it was interrupted",)) if work.exists() else ("new", ())
    if manifest.fingerprint != fingerprint:
        return "changed", tuple(differences(manifest.inputs, inputs))
    if manifest.stage != folder.name:
        return "damaged", (f"it holds the stage {manifest.stage!r}",)
    broken = tuple(artifact.damage(folder, manifest.files, extra=False))
    return ("damaged", broken) if broken else ("sealed", ())


def differences(old: Any, new: Any, path: str = "") -> Iterator[str]:
    """Name the differences between two fingerprints' inputs, as in `stage.epochs: 3 -> 4`."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted(old.keys() | new.keys()):
            inner = f"{path}.{key}" if path else key
            yield from differences(old.get(key), new.get(key), inner)
    elif isinstance(old, list) and isinstance(new, list):
        for index, pair in enumerate(zip_longest(old, new)):
            yield from differences(*pair, f"{path}.{index}")
    elif old != new:
        yield f"{path}: {_short(old)} -> {_short(new)}"


def _short(value: Any) -> str:
    text = "absent" if value is None else str(value)
    is_hash = len(text) == 64 and not set(text) - set("0123456789abcdef")
    return text[:8] if is_hash else text if len(text) <= 60 else text[:57] + "..."


def versions() -> dict[str, str]:
    """Return major and minor versions: a patch release must not cause new training."""
    packages = {package: environment.installed(package) or "absent" for package in _MATTERS}
    return {
        package: ".".join(text.split("+")[0].split(".")[:2]) for package, text in packages.items()
    }
