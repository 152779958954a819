"""The contents of a report, as sealed in a run: manifests, recipe, histories and benchmark."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from jpqd.core import bench_result, compression_plan
from jpqd.core.artifact import Sealed
from jpqd.core.bench_result import Arm, Bench, Measurement
from jpqd.core.compression_plan import Plan
from jpqd.core.errors import UserError
from jpqd.core.manifest import Manifest, main_figure
from jpqd.core.names import HISTORY, RECIPE
from jpqd.report import compare
from jpqd.report.compare import Comparison, Row
from jpqd.run.finder import Run

Samples = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Page:
    """The contents of one report."""

    run: Run
    recipe: dict[str, Any]
    stages: list[Manifest]
    """The stages in the recipe's order, baseline first, each IR after its own stage."""
    comparison: Comparison | None
    no_comparison: str
    """The reason why there is no comparison."""
    histories: dict[str, list[dict[str, Any]]]
    bench: Bench | None
    samples: Samples | None
    plans: dict[str, Plan]
    """The result of each search."""
    damage: list[str]
    """The files that are not as they were sealed."""

    @property
    def name(self) -> str:
        return self.run.folder.name

    @cached_property
    def metric(self) -> str:
        """The metric that compares the stages."""
        if self.comparison:
            return self.comparison.metric
        measured = [figures for stage in self.stages for figures in stage.splits.values()]
        return main_figure(measured[0]) if measured else "accuracy"

    @cached_property
    def baseline(self) -> Manifest:
        """The baseline of the comparison, or else of the run, or else any stage."""
        try:
            wanted = self.comparison.baseline if self.comparison else self.run.baseline()
        except UserError:
            wanted = ""
        named = [stage for stage in self.stages if stage.stage == wanted]
        return [*named, *self.stages][0]

    @cached_property
    def trained(self) -> list[Manifest]:
        return [stage for stage in self.stages if stage.kind == "model"]

    @cached_property
    def main(self) -> Manifest:
        """The stage of the headline: the smallest trained one, and the later one of equals."""

        def size(stage: Manifest) -> tuple[float, bool]:
            facts = stage.model
            share = facts.encoder_share if facts else None
            return (1.0 if share is None else share), not facts or facts.precision == "FP32"

        return min(reversed(self.trained), key=size) if self.trained else self.stages[-1]

    def difference(self, stage: str) -> Row | None:
        """Return a stage's difference to the baseline on the same rows; None for the baseline."""
        rows = self.comparison.stages if self.comparison else []
        return next((row for row in rows if row.stage == stage and row.difference), None)

    @cached_property
    def latency(self) -> Measurement | None:
        """The main measurement: the first one of latencies, or else the first one."""
        known = self.bench.measurements if self.bench else []
        return next((m for m in known if m.mode == "latency"), next(iter(known), None))

    @cached_property
    def throughput(self) -> Measurement | None:
        """The measurement of throughput for the same requests, or else the main measurement."""
        known = self.bench.measurements if self.bench else []
        same = [m for m in known if self.latency and m.workload == self.latency.workload]
        return next((m for m in same if m.mode == "throughput"), self.latency)

    def arm(self, stage: str) -> Arm | None:
        """Return the arm that stands for a stage: its IR as anyone runs it, or its first arm."""
        arms = [arm for arm in self.bench.arms if arm.stage == stage] if self.bench else []
        return next((arm for arm in arms if arm.name == stage), next(iter(arms), None))


def gather(run: Run) -> Page:
    stages = [stage for stage in run.in_order() if stage.kind != "bench"]
    if not stages:
        raise UserError(f"{run.folder}: no stage is sealed yet. Run its recipe with jpqd run.")
    recipe = _recipe(run)
    comparison, why = _compare(run)
    bench, samples = _bench(run)
    histories = {stage.stage: past for stage in stages if (past := _history(run, stage))}
    damage = run.damage()
    plans = {stage.stage: plan for stage in stages if (plan := _plan(run, stage))}
    return Page(run, recipe, stages, comparison, why, histories, bench, samples, plans, damage)


def _recipe(run: Run) -> dict[str, Any]:
    recipe = run.recipe
    if not {"stages", "task"} <= recipe.keys():
        path = run.folder / RECIPE
        raise UserError(f"{path} is missing or damaged. Run the recipe again: jpqd run writes it.")
    return recipe


def _compare(run: Run) -> tuple[Comparison | None, str]:
    try:
        return compare.compare([run], None, None), ""
    except UserError as error:
        return None, str(error)


def _history(run: Run, stage: Manifest) -> list[dict[str, Any]]:
    """Read the training history of a stage; empty where nothing was trained."""
    path = _whole(run.open(stage.stage), HISTORY)
    history: list[dict[str, Any]] = json.loads(path.read_text()) if path else []
    return history


def _plan(run: Run, stage: Manifest) -> Plan | None:
    path = _whole(run.open(stage.stage), compression_plan.FILE)
    return compression_plan.load(path.parent) if path else None


def _whole(sealed: Sealed, name: str) -> Path | None:
    """Return the path of a file as it was sealed; None where there is none, or it is damaged."""
    known = name in sealed.manifest.files and not sealed.broken(name)
    return sealed.folder / name if known else None


def _bench(run: Run) -> tuple[Bench | None, Samples | None]:
    """Read the newest benchmark."""
    sealed = [stage for stage in run.stages if stage.kind == "bench"]
    if not sealed:
        return None, None
    newest = run.open(max(sealed, key=lambda stage: stage.created).stage)
    path, samples = _whole(newest, bench_result.FILE), _whole(newest, bench_result.SAMPLES)
    if path is None:
        return None, None
    return bench_result.read(path), _load(samples) if samples else None


def _load(path: Path) -> Samples:
    with np.load(path, allow_pickle=False) as samples:
        return dict(samples)
