"""What a report shows of a run: its manifests, recipe, histories and benchmark, as sealed."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from jpqd import artifact, compare, report
from jpqd.artifact import Manifest
from jpqd.compare import Comparison, Row
from jpqd.errors import UserError
from jpqd.report import Run
from runtime_bench import result, store
from runtime_bench.result import Arm, Bench, Measurement

HISTORY = "history.json"
Samples = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Page:
    run: Run
    recipe: dict[str, Any]
    stages: list[Manifest]
    """From the baseline on in the recipe's order, an IR behind the stage that it was made of."""
    comparison: Comparison | None
    no_comparison: str
    """Why there is none."""
    histories: dict[str, list[dict[str, Any]]]
    bench: Bench | None
    samples: Samples | None

    @property
    def name(self) -> str:
        return self.run.folder.name

    @cached_property
    def metric(self) -> str:
        """What stages are set against each other by."""
        measured = [figures for stage in self.stages for _, figures in report.measured(stage)]
        return "pearson" if any("pearson" in figures for figures in measured) else "accuracy"

    @cached_property
    def baseline(self) -> Manifest:
        """The comparison's; without one `teacher`, or the first that was trained, or any."""
        wanted = self.comparison.baseline if self.comparison else "teacher"
        trained = [stage for stage in self.stages if stage.use == "train"]
        named = [stage for stage in self.stages if stage.stage == wanted]
        return [*named, *trained, *self.stages][0]

    @cached_property
    def trained(self) -> list[Manifest]:
        return [stage for stage in self.stages if stage.use == "train"]

    @cached_property
    def main(self) -> Manifest:
        """What the headline speaks of: the smallest trained stage, the later one of equals."""

        def size(stage: Manifest) -> tuple[float, bool]:
            facts = stage.metrics.get("model", {})
            return facts.get("encoder_share", 1.0), facts.get("precision") != "INT8"

        return min(reversed(self.trained), key=size) if self.trained else self.stages[-1]

    def difference(self, stage: str) -> Row | None:
        """To the baseline on the same rows; None for the baseline itself."""
        rows = self.comparison.stages if self.comparison else []
        return next((row for row in rows if row.stage == stage and row.difference), None)

    @cached_property
    def latency(self) -> Measurement | None:
        """The measurement that stands for all: the first of latencies, or the first."""
        found = self.bench.measurements if self.bench else []
        return next((m for m in found if m.mode == "latency"), next(iter(found), None))

    @cached_property
    def throughput(self) -> Measurement | None:
        """Of the same requests; where it was not measured, what latencies allow."""
        found = self.bench.measurements if self.bench else []
        same = [m for m in found if self.latency and m.workload == self.latency.workload]
        return next((m for m in same if m.mode == "throughput"), self.latency)

    def arm(self, stage: str) -> Arm | None:
        """How a stage is run: an IR as it is or as static copies, whichever is faster; anything
        else by its first arm."""
        arms = [arm for arm in self.bench.arms if arm.stage == stage] if self.bench else []
        of_ir = [arm for arm in arms if arm.name in (stage, f"{stage}:static")]
        return min(of_ir, key=self._median) if of_ir else next(iter(arms), None)

    def _median(self, arm: Arm) -> float:
        found = self.latency.arms[arm.name].latency_ms if self.latency else None
        return math.inf if found is None or found.p50.value is None else found.p50.value

    def deployed(self, stage: Manifest) -> Arm | None:
        """The arm of the stage's IR, or its own."""
        irs = [s.stage for s in self.stages if s.use == "ov_ir" and stage.stage in made_of(s)]
        arms = [arm for name in [*irs, stage.stage] if (arm := self.arm(name))]
        return next(iter(arms), None)


def gather(run: Run) -> Page:
    stages = [stage for stage in run.stages if stage.use != store.NAME]
    if not stages:
        raise UserError(f"{run.folder}: no stage is sealed yet. jpqd run makes them.")
    recipe = _recipe(run)
    comparison, why = _compare(run)
    bench, samples = _bench(run)
    histories = {stage.stage: found for stage in stages if (found := _history(run, stage))}
    return Page(run, recipe, _order(stages, recipe), comparison, why, histories, bench, samples)


def made_of(stage: Manifest) -> list[str]:
    return list(stage.inputs.get("stage", {}).get("needs", ()))


def _order(stages: list[Manifest], recipe: dict[str, Any]) -> list[Manifest]:
    order = list(recipe["stages"])

    def place(stage: Manifest) -> tuple[int, bool]:
        exported = stage.use == "ov_ir"
        names = made_of(stage) if exported else [stage.stage]
        found = [order.index(name) for name in names if name in order]
        return max(found, default=len(order)), exported

    return sorted(stages, key=place)


def _recipe(run: Run) -> dict[str, Any]:
    found = report.read_recipe(run.folder)
    if found is None or not {"stages", "task"} <= found.keys():
        path = run.folder / report.RECIPE
        raise UserError(f"{path} is lost or damaged. jpqd run writes it again.")
    return found


def _compare(run: Run) -> tuple[Comparison | None, str]:
    try:
        return compare.compare([run], None, None), ""
    except UserError as error:
        return None, str(error)


def _history(run: Run, stage: Manifest) -> list[dict[str, Any]]:
    """None where nothing was trained."""
    path = _sealed(run, stage, HISTORY)
    found: list[dict[str, Any]] = json.loads(path.read_text()) if path else []
    return found


def _bench(run: Run) -> tuple[Bench | None, Samples | None]:
    """The newest one."""
    sealed = [stage for stage in run.stages if stage.use == store.NAME]
    newest = max(sealed, key=lambda stage: stage.created, default=None)
    path = _sealed(run, newest, result.FILE) if newest else None
    if newest is None or path is None:
        return None, None
    samples = _sealed(run, newest, result.SAMPLES)
    return result.read(path), _load(samples) if samples else None


def _load(path: Path) -> Samples:
    with np.load(path, allow_pickle=False) as found:
        return dict(found)


def _sealed(run: Run, stage: Manifest, name: str) -> Path | None:
    """A file that is as its manifest says; None where there is none."""
    path, entry = run.folder / stage.stage / name, stage.files.get(name)
    if entry is None or not path.is_file():
        return None
    if artifact.hash_file(path) != entry.sha256:
        again = "jpqd bench" if stage.use == store.NAME else "jpqd run"
        raise UserError(
            f"{path}: {path.stat().st_size} bytes that are not the {entry.bytes} that were sealed. "
            f"A report shows sealed figures only: make it again with {again}."
        )
    return path
