"""The stages that `jpqd analyze` adds to a run: as many and as thorough as the time allows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any

from jpqd import tasks
from jpqd.core.errors import UserError
from jpqd.core.manifest import Manifest
from jpqd.core.progress import Progress
from jpqd.recipe import plugins
from jpqd.recipe.recipes import Recipe
from jpqd.run import finder, given_model, plan
from jpqd.run.finder import Run
from jpqd.run.given_model import Wanted

if TYPE_CHECKING:
    from jpqd.analysis.forecast import Pace

USES = ("robustness", "bit_widths", "sensitivity")
_MODEL = "model"
_SAMPLES = (512, 256, 128, 64)
_NOISES = ((0.05, 0.1, 0.2), (0.1,))
_WIDTHS = ((1000, 60.0), (200, 20.0))
"""The rows and the seconds of `bit_widths`."""


@dataclass(frozen=True)
class Part:
    """One stage, and the seconds that it is expected to take."""

    use: str
    options: dict[str, Any]
    seconds: float

    def __str__(self) -> str:
        given = ", ".join(f"{k}: {v}" for k, v in self.options.items() if k not in ("use", "needs"))
        return f"{self.use}: about {self.seconds / 60:.1f} minutes ({given})"


def recipe_of_folder(wanted: Wanted, progress: Progress) -> Recipe:
    """Return a recipe that makes a run of a trained model: as it is, and in INT8."""
    found = given_model.describe(wanted, progress)
    progress.say(found.said)
    quantize = {"use": "quantize", "smooth_quant": 0.8, "range": "min_max"}
    ptq = {"use": "train", "needs": [_MODEL], "epochs": 0, "methods": [quantize]}
    name = wanted.name
    return Recipe.model_validate({
        "name": name,
        "model": wanted.model,
        "task": {"name": name, **found.task},
        "stages": {_MODEL: {"use": "train", "epochs": 0}, "ptq": ptq},
    })  # fmt: skip


def chosen(only: str | None) -> list[str]:
    """Read the names of analyses."""
    names = [name.strip() for name in only.split(",")] if only else list(USES)
    for name in names:
        if name not in USES:
            raise UserError(f"--only {only}: {plugins.unknown(name, USES)}.")
    return names


def missing(run: Run, wanted: Sequence[str]) -> list[str]:
    """Return the analyses that no sealed stage of the run is of."""
    there = {stage.use for stage in run.stages}
    return [use for use in wanted if use not in there]


def recipe_of(run: Run) -> Recipe:
    """Return the recipe of a run whose stages are all sealed, so that nothing is trained."""
    given = finder.read_recipe(run.folder)
    if given is None:
        raise UserError(f"{run.folder}: its recipe cannot be read. Run it again.")
    stages = given["stages"]
    known = {name: each for name, each in stages.items() if _is_work(run, name, each)}
    recipe = Recipe.model_validate({**given, "stages": known})
    if recipe.task.use is not None and tasks.load(recipe.task.use).rows_are_text:
        raise UserError(
            f"{run.folder}: a language model is measured by `use: compress_weights` and `use: "
            "questions`; analyze is for models that classify."
        )
    for step in plan.plan(recipe, run.folder):
        if step.status != "sealed":
            why = "; ".join(step.why) or step.status
            raise UserError(
                f"{run.folder}: stage {step.id} would run first ({why}). Run its recipe to the end."
            )
    return recipe


def _is_work(run: Run, name: str, stage: dict[str, Any]) -> bool:
    """Leave out an analysis that was planned before and not made: it is planned anew."""
    return stage.get("use") not in USES or name in run.names


def with_parts(recipe: Recipe, parts: Sequence[Part]) -> Recipe:
    """Add stages, each named by its use."""
    plain = recipe.plain()
    for part in parts:
        if part.use in plain["stages"]:
            raise UserError(
                f"the run has a stage {part.use!r} of another use. Leave it out: --only"
            )
        plain["stages"][part.use] = part.options
    return Recipe.model_validate(plain)


def subject(run: Run) -> str:
    """Name the model that is looked into: the baseline."""
    name = run.baseline()
    manifest = run.open(name).manifest
    if manifest.kind != "model":
        raise UserError(f"{run.folder}: {name} is no trained stage. Run the recipe of its model.")
    return name


def compared(run: Run, base: str) -> list[str]:
    """Return the baseline and every other model, by its IR where it has one."""
    exported = {name for one in run.stages if one.kind == "ir" for name in one.made_of}
    others = [one.stage for one in run.stages if _answers(one, exported) and one.stage != base]
    return [base, *others]


def _answers(stage: Manifest, exported: set[str]) -> bool:
    return stage.kind == "ir" or (stage.kind == "model" and stage.stage not in exported)


def fitted(
    pace: Pace, wanted: Sequence[str], needs: Sequence[str], report: str, seconds: float
) -> tuple[list[Part], list[Part]]:
    """Return the stages that fit into the time, and those that do not fit even at their shortest.

    The most thorough ones that fit together are taken; where none do, the longest one is left out.
    """
    names = [use for use in wanted if use != "sensitivity" or pace.layers]
    ways = {use: _ways(use, pace, needs, report) for use in names}
    left: list[Part] = []
    while names:
        for parts in product(*(ways[use] for use in names)):
            if sum(part.seconds for part in parts) <= seconds:
                return list(parts), left
        shortest = [ways[use][-1] for use in names]
        longest = max(shortest, key=lambda part: part.seconds)
        left.append(longest)
        names.remove(longest.use)
    return [], left


def _ways(use: str, pace: Pace, needs: Sequence[str], report: str) -> list[Part]:
    """Return the ways to make a stage, the most thorough one first."""
    base = list(needs[:1])
    if use == "robustness":
        return [
            Part(use, {"use": use, "needs": list(needs), "noise": list(noise)},
                 pace.robustness(len(needs), len(noise), report))
            for noise in _NOISES
        ]  # fmt: skip
    if use == "bit_widths":
        return [
            Part(use, {"use": use, "needs": base, "samples": rows, "seconds": seconds},
                 pace.bit_widths(rows, 1, seconds))
            for rows, seconds in _WIDTHS
        ]  # fmt: skip
    return [
        Part(use, {"use": use, "needs": base, "samples": samples}, pace.sensitivity(samples))
        for samples in _SAMPLES
    ]


def default_name(model: str) -> str:
    """Name the run that is made of a model."""
    return f"{given_model.stem(model)}_analysis"


def stage_of(run: Run, use: str) -> str:
    """Name the sealed stage of an analysis."""
    return next(stage.stage for stage in run.stages if stage.use == use)


def pace(run: Run, base: str, recipe: Recipe, progress: Progress) -> Pace:
    """Try the model that is looked into."""
    from jpqd.analysis import forecast

    return forecast.pace(run.folder / base, recipe.task, run.folder.parent / ".cache", progress)
