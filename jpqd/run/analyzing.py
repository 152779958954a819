"""The stages that `jpqd analyze` adds to a run: as many and as thorough as the time allows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jpqd import tasks
from jpqd.core.errors import UserError
from jpqd.core.manifest import Manifest
from jpqd.core.names import IR_XML
from jpqd.core.progress import Progress
from jpqd.methods.quantize.options import AFTER_TRAINING
from jpqd.recipe import plugins
from jpqd.recipe.recipes import Recipe, of_run
from jpqd.run import finder, given_model, plan
from jpqd.run.finder import Run
from jpqd.run.given_model import MODEL, Wanted

if TYPE_CHECKING:
    from jpqd.analysis.forecast import Pace

ROBUSTNESS, WIDTHS, SENSITIVITY = "robustness", "bit_widths", "sensitivity"
USES = (ROBUSTNESS, WIDTHS, SENSITIVITY)
LAST = "ptq"
_NOT_ADDED = ("shift", "attack")
"""Keys of stages that this command never writes."""
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


@dataclass(frozen=True)
class Subject:
    """The models of a run that are looked into."""

    run: Run
    base: str
    """The baseline, ..."""
    models: tuple[str, ...]
    """... and it with every other model, by its IR where there is one."""
    noises: tuple[float, ...] = ()
    """Shares of words with a slip that have to be measured."""

    @classmethod
    def of(cls, run: Run, noises: Sequence[float] = ()) -> Subject:
        base = run.baseline()
        if base not in run.names:
            raise UserError(f"{run.folder}: {base} is not sealed. Run its recipe to the end.")
        if run.open(base).manifest.kind != "model":
            raise UserError(
                f"{run.folder}: {base} is no trained stage. Analyze the run of its model."
            )
        stages = [one for one in run.stages if one.stage in run.recipe.get("stages", ())]
        irs = [one for one in stages if (run.folder / one.stage / IR_XML).is_file()]
        exported = {base, *(name for ir in irs for name in ir.made_of)}
        others = [one for one in stages if one.kind == "model" and one.stage not in exported]
        order = [one.stage for one in stages if one in irs or one in others]
        return cls(run, base, (base, *order), tuple(noises))

    def lacks(self, wanted: Sequence[str]) -> list[str]:
        """Return the analyses that no sealed stage is of, as the models are now."""
        there = {stage.use for stage in self.run.stages if self._holds(stage)}
        return [use for use in wanted if use not in there]

    def _holds(self, stage: Manifest) -> bool:
        """Return whether a stage was made of the models that are here, and of all of them."""
        here = {one.stage: one.fingerprint for one in self.run.stages}
        parents = stage.inputs.get("parents", {})
        same = all(here.get(name) == seal for name, seal in parents.items())
        config = stage.inputs.get("stage", {})
        if stage.use != ROBUSTNESS or not _is_ours(stage.stage, config):
            return same
        return same and stage.made_of == self.models and {*self.noises} <= {*config["noise"]}

    def why_not(self, use: str, pace: Pace) -> str:
        """Return the reason why this model is not analyzed so; none where it can be."""
        model = self.run.open(self.base).manifest.model
        if use == WIDTHS and model is not None and model.precision != "FP32":
            return f"{self.base} is quantized already"
        if use == SENSITIVITY and not pace.layers:
            return "the parts of this family of models are not known"
        return ""

    def recipe(self) -> Recipe:
        """Return the run's recipe, what is sealed first; none of that may need to run again."""
        given = finder.read_recipe(self.run.folder)
        if given is None:
            raise UserError(f"{self.run.folder}: its recipe cannot be read. Run it again.")
        stays = {name: each for name, each in given["stages"].items() if self._stays(name, each)}
        stages = dict(sorted(stays.items(), key=lambda stage: stage[0] not in self.run.names))
        folder = self.run.folder
        recipe = of_run({**given, "stages": stages, "name": folder.name}, folder)
        _refuse_kind(recipe, folder)
        for step in plan.plan(recipe, folder):
            if step.id in self.run.names and step.status != "sealed":
                why = "; ".join(step.why) or step.status
                raise UserError(
                    f"{folder}: stage {step.id} would run again ({why}). Run its recipe to the end."
                )
        return recipe

    def _stays(self, name: str, stage: dict[str, Any]) -> bool:
        """Leave out an analysis of ours that is not sealed, or no longer holds: it is made anew."""
        if not _is_ours(name, stage):
            return True
        return name in self.run.names and self._holds(self.run.open(name).manifest)


def _refuse_kind(recipe: Recipe, folder: Path) -> None:
    """Refuse models without classes, words or numbers that labels tell."""
    kind = tasks.load(recipe.task.use) if recipe.task.use else None
    if kind and kind.rows_are_text:
        raise UserError(
            f"{folder}: a language model is measured by `use: compress_weights` and `use: "
            "questions`; analyze is for models that classify."
        )
    if kind and kind.follows:
        raise UserError(
            f"{folder}: its task is `use: {kind.use}`, and analyze is for models that classify or "
            f"answer with a number. Set its stages side by side: jpqd compare {folder}"
        )


def _is_ours(name: str, stage: dict[str, Any]) -> bool:
    """Tell a stage that this command added from one that a recipe asks for."""
    wants_more = any(stage.get(key) for key in _NOT_ADDED)
    return name == stage.get("use") and name in USES and not wants_more


def recipe_of_folder(wanted: Wanted, progress: Progress) -> Recipe:
    """Return a recipe that makes a run of a trained model: as it is, and in INT8."""
    found = given_model.describe(wanted, progress)
    progress.say(found.said)
    ptq = {"use": "train", "needs": [MODEL], "epochs": 0, "methods": [AFTER_TRAINING]}
    earlier = (finder.read_recipe(wanted.run) or {}).get("stages", {})
    analyses = {name: each for name, each in earlier.items() if name in USES}
    return Recipe.model_validate({
        "name": wanted.name,
        "model": wanted.model,
        "task": {"name": wanted.name, **found.task},
        "stages": {MODEL: {"use": "train", "epochs": 0}, LAST: ptq, **analyses},
    })  # fmt: skip


def default_name(model: str) -> str:
    """Name the run that is made of a model."""
    return f"{given_model.stem(model)}_analysis"


def chosen(only: str | None) -> list[str]:
    """Read the names of analyses."""
    names = [name.strip() for name in only.split(",")] if only else list(USES)
    for name in names:
        if name not in USES:
            raise UserError(f"--only {only}: {plugins.unknown(name, USES)}.")
    return list(dict.fromkeys(names))


def with_parts(recipe: Recipe, parts: Sequence[Part], run: Run) -> Recipe:
    """Add stages, each named by its use, behind those that are sealed."""
    plain = recipe.plain()
    stages = plain["stages"].items()
    sealed = {name: stage for name, stage in stages if name in run.names}
    others = {name: stage for name, stage in stages if name not in run.names}
    for part in parts:
        if part.use in plain["stages"]:
            raise UserError(
                f"the recipe has a stage of its own that is called {part.use}. Name the other "
                "analyses with --only."
            )
    added = {part.use: part.options for part in parts}
    return Recipe.model_validate({**plain, "stages": {**sealed, **added, **others}})


def fitted(
    pace: Pace,
    wanted: Sequence[str],
    needs: Sequence[str],
    report: str,
    seconds: float,
    noises: Sequence[float] = (),
) -> tuple[list[Part], list[Part]]:
    """Return the stages that fit into the time, and those that do not fit even at their shortest.

    The most thorough ones that fit together are taken; where none do, the longest one is left out.
    `noises` are measured in any case.
    """
    names = list(wanted)
    ways = {use: _ways(use, pace, needs, report, noises) for use in names}
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


def _ways(
    use: str, pace: Pace, needs: Sequence[str], report: str, noises: Sequence[float]
) -> list[Part]:
    """Return the ways to make a stage, the most thorough one first."""
    base = list(needs[:1])
    if use == ROBUSTNESS:
        every = [sorted({*shares, *noises}) for shares in _NOISES]
        return [
            Part(use, {"use": use, "needs": list(needs), "noise": noise},
                 pace.robustness(len(needs), len(noise), report))
            for noise in every
        ]  # fmt: skip
    if use == WIDTHS:
        return [
            Part(use, {"use": use, "needs": base, "samples": rows, "seconds": seconds},
                 pace.bit_widths(rows, 1, seconds))
            for rows, seconds in _WIDTHS
        ]  # fmt: skip
    return [
        Part(use, {"use": use, "needs": base, "samples": samples}, pace.sensitivity(samples))
        for samples in _SAMPLES
    ]


def pace(subject: Subject, recipe: Recipe, progress: Progress) -> Pace:
    """Try the model that is looked into."""
    from jpqd.analysis import forecast

    folder = subject.run.folder
    return forecast.pace(folder / subject.base, recipe.task, folder.parent / ".cache", progress)
