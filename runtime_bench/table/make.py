"""The whole stage: build models, measure them in groups, explain their times, check the table."""

from __future__ import annotations

from itertools import chain
from pathlib import Path
from typing import Any

import openvino as ov

from jpqd.core import cached, cpus, environment, latency_table, seals
from jpqd.core.latency_table import LatencyTable, Precision
from jpqd.core.progress import Progress
from jpqd.recipe.contracts import Context
from runtime_bench.machine import devices
from runtime_bench.table import explain, near, structures, texts
from runtime_bench.table.build import Factory
from runtime_bench.table.groups import Groups, Setup
from runtime_bench.table.options import Options
from runtime_bench.table.texts import Texts

_VERSION = 6
"""Raised when models or measuring change, so that no older table is taken from the cache."""
_NO_TIME = ("id2label", "label2id", "_name_or_path", "finetuning_task", "dtype")
"""Entries of a config that say nothing about time."""
MANY = 0.25
"""The share of disturbed blocks from which a table says so."""


def run(spec: Options, ctx: Context) -> dict[str, Any]:
    devices.check(spec.device, devices.available())
    factory = Factory(ctx.inputs[spec.needs[0]])
    given = texts.find(ctx, factory, spec.length, in_turn=len(spec.needs) == 1)
    setup = _setup(spec)
    if len(spec.needs) > 1:
        table = near.table(spec, ctx, factory, given, setup)
    else:
        table = _measured(spec, ctx, factory, given, setup)
    latency_table.save(table, ctx.out)
    _say_error(table, ctx.progress)
    names = [one.name for one in table.precisions] if table.checked else []
    return {
        "error": {name: round(table.error(name), 4) for name in names},
        "memory_error": {name: round(table.memory_error(name), 4) for name in names},
        "lengths": table.lengths,
        "checked": len(table.checked),
    }


def _measured(
    spec: Options, ctx: Context, factory: Factory, given: Texts, setup: Setup
) -> LatencyTable:
    """Take the table from the cache, or measure it."""
    key = _key(spec, factory, given, setup)[:16]
    entry = ctx.cache / f"latency-{key}"
    if cached.is_whole(entry, ctx.progress):
        ctx.progress.say("    such models were measured on this device before: the same table")
        return _with_shares(latency_table.load(entry), given)
    table = _table(spec, factory, given, setup, ctx.work / key, ctx.progress)
    if not _disturbed(table):  # or nobody could measure again
        cached.put(entry, lambda out: latency_table.save(table, out))
    return table


def _setup(spec: Options) -> Setup:
    name = str(ov.Core().get_property(spec.device, "FULL_DEVICE_NAME"))
    return Setup(spec.device, name, spec.threads or cpus.usable())


def _key(spec: Options, factory: Factory, given: Texts, setup: Setup) -> str:
    """Return the hash of all that a table depends on."""
    config = factory.model.config.to_dict()
    facts = environment.environment()
    return seals.digest(
        [
            _VERSION,
            {name: value for name, value in config.items() if name not in _NO_TIME},
            factory.kind.use,
            given.lengths,
            [sorted(set(spec.precisions)), spec.seconds],
            [setup.device, setup.device_name, setup.threads],
            [facts["packages"], facts["processor"]],
        ]
    )


def _table(
    spec: Options, factory: Factory, given: Texts, setup: Setup, work: Path, progress: Progress
) -> LatencyTable:
    whole = factory.whole
    models = structures.models(whole)
    groups = Groups(factory, given, setup, models, work, progress)
    measured = groups.measure(spec.precisions, spec.seconds)
    table = LatencyTable(
        device=setup.device,
        device_name=setup.device_name,
        threads=setup.threads,
        layers=whole.layers,
        heads=whole.heads,
        neurons=whole.neurons,
        words=factory.model.config.vocab_size,
        lengths=list(given.lengths),
        shares=list(given.shares),
        precisions=[explain.precision(name, measured[name], models, whole) for name in measured],
        checked=[],
        environment=environment.environment(),
    )
    checked = [explain.checked(name, measured[name], models, table) for name in measured]
    return table.model_copy(update={"checked": list(chain.from_iterable(checked))})


def _with_shares(table: LatencyTable, given: Texts) -> LatencyTable:
    """Texts of the same lengths in other shares take the same times, but have another median."""
    shares = list(given.shares)
    if shares == table.shares:
        return table
    found = table.model_copy(update={"shares": shares})
    checked = [explain.checked_again(one, found) for one in table.checked]
    return found.model_copy(update={"checked": checked})


def _disturbed(table: LatencyTable) -> list[Precision]:
    return [one for one in table.precisions if one.disturbed > MANY]


def _say_error(table: LatencyTable, progress: Progress) -> None:
    for one in table.precisions if table.checked else ():
        progress.say(
            f"    {one.name} ({one.computes}): predicts models that it does not know with an "
            f"error of {table.error(one.name):.1%} on average, and their memory with one of "
            f"{table.memory_error(one.name):.1%}"
        )
    for one in _disturbed(table):
        progress.warn(
            f"{one.name}: other programs used the processors in {one.disturbed:.0%} of the "
            "time. Measure again on a quiet machine: the table is not kept for other runs."
        )
