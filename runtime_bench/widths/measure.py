"""The answers of every variant, and their times, side by side."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import nncf
import numpy as np

from jpqd.core.bench_result import Figures
from jpqd.core.errors import RunError
from jpqd.data import splits
from jpqd.recipe.contracts import Context
from jpqd.scores import predictions
from jpqd.scores.predictions import Predictions
from jpqd.tasks import Kind
from runtime_bench.backends.openvino_ir import OpenvinoIr
from runtime_bench.job import accuracy, workload
from runtime_bench.job import rows as job_rows
from runtime_bench.job.arms import Arm
from runtime_bench.job.workload import Truth
from runtime_bench.machine import host
from runtime_bench.measure import blocks, figures
from runtime_bench.measure.crew import Crew
from runtime_bench.measure.worker import Worker
from runtime_bench.widths.variants import Factory, Variant

if TYPE_CHECKING:
    from runtime_bench.backend import Request

_BLOCKS = 24
_TIMED = 200
"""Rows that are timed, in turn."""


@dataclass(frozen=True)
class Asked:
    """Held-out rows, as requests of one row each."""

    requests: list[Request]
    truth: Truth

    @property
    def timed(self) -> list[Request]:
        return self.requests[:_TIMED]


def rows(data: splits.Data, samples: int, padding: int, seed: int) -> Asked:
    """Draw rows of the split that chooses a checkpoint."""
    held_out = data.split("select")
    drawn = np.random.default_rng(seed).permutation(len(held_out))[:samples]
    table = job_rows.of_split(held_out.select(drawn.tolist()), data.kind, padding, "select")
    assert table.truth is not None
    return Asked(workload.one_by_one(table), table.truth)


def said(one: Variant, factory: Factory, asked: Asked, threads: int) -> Predictions | str:
    """Return a variant's answers, found before a kill or now, or why it does not run here."""
    ctx = factory.ctx
    place = ctx.work / f"{one.ir}-{one.precision}-{one.weights_only}.safetensors"
    try:
        factory.write(one, ctx.work)
        if not place.is_file():
            found = _answers(one, one.backend(ctx.work, threads), asked)
            predictions.keep(place, found, asked.truth.kind.facts())
    except (RunError, RuntimeError, nncf.ValidationError) as error:
        reason = str(error).strip().splitlines()[-1].removeprefix(f"{one.name}: ")
        ctx.progress.warn(f"{one.name} does not run here: {reason}")
        return reason
    return predictions.load(place)[0]


def _answers(one: Variant, backend: OpenvinoIr, asked: Asked) -> Predictions:
    worker = Worker(one.name, backend)
    try:
        worker.ask("load")
        return accuracy.answers(asked.truth, worker.ask("logits", asked.requests))
    finally:
        worker.close()


def compared(kind: Kind, mine: Predictions, whole: Predictions) -> dict[str, Any]:
    """Return a variant's figures, and how far it is from the whole model on the same rows."""
    found = kind.score(mine)
    if mine is whole:
        return found
    apart = kind.compare([mine], [whole])
    middle, low, high = apart["difference"]
    return found | {"difference": middle, "difference_95": [low, high]}


@dataclass(frozen=True)
class Timed:
    figures: dict[str, Figures]
    facts: dict[str, dict[str, Any]]
    blocks: int
    disturbed: float
    """The share of blocks in which other programs used the processors."""


def times(backends: Mapping[str, OpenvinoIr], asked: Asked, seconds: float, ctx: Context) -> Timed:
    """Load every variant in a process of its own, and measure them in turns."""
    with Crew() as crew:
        paces = []
        for name, backend in backends.items():
            paces.append(crew.start(Arm(name, name, backend), asked.timed))
            ctx.progress.say(f"    {name}: {paces[-1]:.2f} ms a row")
        plan = blocks.plan(paces, seconds, _BLOCKS)
        ctx.progress.say(f"    measures all of them for about {plan.seconds:.0f} s")
        names, threads = list(backends), next(iter(backends.values())).threads
        measured = blocks.measure(
            names, len(asked.timed), plan, crew.run,
            seed=ctx.seed, watch=host.Watch(threads), stop=lambda: False,
        )  # fmt: skip
        found = figures.of("latency", measured, names[0], 1, crew.overhead(), {})
        done = len(measured.started)
        return Timed(found, crew.facts, done, len(measured.disturbed) / done)
