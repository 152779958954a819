"""A table that is right near a plan: what the plan leaves is measured, and a table is put on it.

A sum over parts is some percent off, and a search finds what looks faster than it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from jpqd.core import compression_plan, environment, latency_table
from jpqd.core.errors import UserError
from jpqd.core.latency_table import LatencyTable, Precision, Times
from jpqd.recipe.contracts import Context
from runtime_bench.backends.openvino_ir import OpenvinoIr
from runtime_bench.table import build, timing
from runtime_bench.table.build import Factory
from runtime_bench.table.groups import Setup
from runtime_bench.table.options import Options
from runtime_bench.table.structures import Structure
from runtime_bench.table.texts import Texts

_WHOLE, _PLAN = 0, 1
"""The numbers of the models that are measured."""


def table(
    spec: Options, ctx: Context, factory: Factory, given: Texts, setup: Setup
) -> LatencyTable:
    """Measure the whole model in INT8 beside the plan's, and scale the earlier table."""
    whole = factory.whole
    base = latency_table.load(ctx.inputs[spec.needs[1]])
    plan = compression_plan.load(ctx.inputs[spec.needs[2]])
    _refuse_other(spec, ctx.stage, base, factory, given, setup)
    chosen = list(plan.chosen.layers)
    near = _Near(factory, given, setup, plan.precision, ctx)
    found = scaled(base, plan.precision, chosen, near.measure([whole.dense, chosen], spec.seconds))
    said, takes = (one.p50_ms(chosen, plan.precision) for one in (base, found))
    ctx.progress.say(f"    the plan's model takes {takes:.2f} ms; the table said {said:.2f}")
    return found


def scaled(
    base: LatencyTable, precision: str, plan: Structure, measured: timing.Times
) -> LatencyTable:
    """Multiply the table's times, so that the plan's model takes what it was measured to take.

    Texts come here in the lengths that the task has, so half of all requests take at most p50. The
    table's own p50 is the median of one length, whose fastest texts may be the middle of all.
    """
    p50 = [float(np.median(ms)) for ms in measured.ms]
    factor = p50[_PLAN] / base.p50_ms(plan, precision)
    return base.model_copy(
        update={
            "precisions": [_times(base.of(precision), factor, measured.disturbed)],
            "whole_ms": {"int8": p50[_WHOLE]},
            "checked": [],
            "environment": environment.environment(),
        }
    )


def _times(table: Precision, factor: float, disturbed: float) -> Precision:
    def scaled(one: Times) -> Times:
        changed = {name: [ms * factor for ms in getattr(one, name)] for name in _SCALED}
        return one.model_copy(update=changed)

    return table.model_copy(
        update={
            "rest": scaled(table.rest),
            "heads": [scaled(one) for one in table.heads],
            "neurons": [scaled(one) for one in table.neurons],
            "disturbed": disturbed,
        }
    )


_SCALED = ("ms", "low", "high")


class _Near:
    """The whole model and the plan's: built, loaded and measured together."""

    def __init__(
        self, factory: Factory, given: Texts, setup: Setup, precision: str, ctx: Context
    ) -> None:
        self.factory, self.given, self.setup = factory, given, setup
        self.precision, self.work, self.progress = precision, ctx.work, ctx.progress

    def measure(self, models: Sequence[Structure], seconds: float) -> timing.Times:
        self.progress.say("    builds the whole model and the plan's")
        names = ["int8", self.precision]
        folders = [self._built(number, one, names[number]) for number, one in enumerate(models)]
        backends = [
            self._backend(folder, name) for folder, name in zip(folders, names, strict=True)
        ]
        self.progress.say(f"    measures them for about {seconds:.0f} s")
        sizes = np.array([build.size(folder) for folder in folders])
        return timing.times(backends, sizes, self.given, seconds)

    def _built(self, number: int, structure: Structure, precision: str) -> Path:
        folder = self.work / str(number)
        self.work.mkdir(parents=True, exist_ok=True)
        self.factory.write(structure, self.given.lengths, precision == "int8", folder)
        return folder

    def _backend(self, folder: Path, precision: str) -> OpenvinoIr:
        device, threads = self.setup.device, self.setup.threads
        how: Literal["f32", "default"] = "f32" if precision == "f32" else "default"
        return OpenvinoIr(path=str(folder), threads=threads, device=device, precision=how)


def _refuse_other(
    spec: Options, where: str, base: LatencyTable, factory: Factory, given: Texts, setup: Setup
) -> None:
    """Refuse to put a table on times of another model, device or lengths."""
    whole = factory.whole
    ours = {
        "model": (whole.layers, whole.heads, whole.neurons),
        "words": factory.model.config.vocab_size,
        "device": setup.device_name,
        "threads": setup.threads,
        "lengths": list(given.lengths),
    }
    theirs = {
        "model": (base.layers, base.heads, base.neurons),
        "words": base.words or factory.model.config.vocab_size,
        "device": base.device_name,
        "threads": base.threads,
        "lengths": base.lengths,
    }
    for name, own in ours.items():
        if own != theirs[name]:
            raise UserError(
                f"{where}: {spec.needs[1]} was measured with {name} {theirs[name]}, and here it is "
                f"{own}. Give both stages the same model, device, threads and length."
            )
