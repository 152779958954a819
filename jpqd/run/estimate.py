"""The time that a stage will take, where the same work was done before."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jpqd.core import environment
from jpqd.core.manifest import Manifest
from jpqd.recipe.recipes import Recipe
from jpqd.run import finder
from jpqd.run.plan import Step

Estimate = tuple[float, str]
"""Seconds, and the run that took them."""


def of_steps(recipe: Recipe, steps: list[Step], runs: Path) -> dict[str, Estimate]:
    """Estimate the stages that are not sealed; what was never run on this machine has no time."""
    waiting = [step for step in steps if step.status != "sealed"]
    known = list(_known(runs, recipe.plain()["model"])) if waiting else []
    found = ((step.id, _like(step, known)) for step in waiting)
    return {stage: estimate for stage, estimate in found if estimate}


def _known(runs: Path, model: Any) -> Iterator[tuple[str, Manifest]]:
    """Find what this processor did with the same model."""
    here = environment.environment().get("processor")
    for run in (run for run in finder.runs(runs) if run.recipe.get("model") == model):
        for manifest in run.stages:
            if manifest.environment.get("processor") == here:
                yield run.folder.name, manifest


def _like(step: Step, known: list[tuple[str, Manifest]]) -> Estimate | None:
    """Find a stage with the same settings and data; the newest run comes first."""
    for run, manifest in known:
        same = all(manifest.inputs.get(key) == step.inputs.get(key) for key in ("stage", "task"))
        if same and manifest.stage == step.id and manifest.use == step.stage.use:
            # A stage that was interrupted has only its last part in `seconds`.
            trained = (manifest.training or {}).get("training_seconds", 0.0)
            return max(manifest.seconds, trained), run
    return None
