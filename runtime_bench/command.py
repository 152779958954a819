"""The work of `jpqd bench` and `use: bench`."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from jpqd.core import bench_result, interrupts, lock, processes
from jpqd.core.bench_result import Bench
from jpqd.core.errors import Interrupted, RunError, UserError
from jpqd.core.names import BENCH
from jpqd.core.progress import Progress
from jpqd.recipe.contracts import Context
from jpqd.report import bench_tables as tables
from jpqd.run import finder
from runtime_bench import ci, gates, store
from runtime_bench.gates import Outcome
from runtime_bench.job import prepare, sources
from runtime_bench.job.sources import Source
from runtime_bench.measure import session
from runtime_bench.options import Settings


@dataclass(frozen=True)
class Wanted:
    """The options of the command that are not settings of the benchmark itself."""

    names: Sequence[str]
    runs: Path
    baseline: str | None
    texts: Path | None
    out: Path | None
    gates: Sequence[str]
    against: Path | None
    junit: Path | None


@dataclass(frozen=True)
class Done:
    bench: Bench
    folder: Path
    setup_differences: list[str]
    """Differences in setup that make an earlier result less comparable."""
    slower: list[str]
    gates: list[Outcome]


def bench(wanted: Wanted, settings: Settings, progress: Progress) -> Done:
    """Measure, seal the result and check gates. Refuse mistakes before anything is measured."""
    parsed = [gates.parse(text) for text in wanted.gates]
    old = store.read(wanted.against) if wanted.against else None
    if wanted.junit and not wanted.junit.absolute().parent.is_dir():
        raise UserError(f"--junit {wanted.junit}: there is no such folder to write to.")
    if old is None and any(gate.metric == "slower" for gate in parsed):
        raise UserError("--gate slower needs an earlier result. Give --against OLD/bench.json.")
    source = sources.find(wanted.names, wanted.runs, wanted.baseline)
    folder = _folder(wanted, source)
    store.check(folder)
    arms = prepare.chosen(settings, source)
    gates.check_arms(parsed, [arm.name for arm in arms])
    cache = (source.run.parent if source.run else wanted.runs) / ".cache"
    with (
        lock.hold(source.run) if source.whole and source.run else nullcontext(),
        lock.sealing(folder.resolve(), "Choose another folder with --out.") as partial,
    ):
        job = prepare.job(settings, source, arms, wanted.texts, cache, progress)
        result, samples = session.run(job, progress)
        store.seal(result, samples, partial, folder)
    slower = list(gates.slower(result, old)) if old else []
    setup_differences = list(gates.setup_differences(result, old)) if old else []
    outcomes = gates.outcomes(result, parsed, old)
    if wanted.junit:
        ci.junit(outcomes, wanted.junit)
    return Done(result, folder, setup_differences, slower, outcomes)


def _folder(wanted: Wanted, source: Source) -> Path:
    """Choose the result's folder: in the run where a whole run was measured, under a free name."""
    if wanted.out is not None:
        return wanted.out
    if not source.whole or source.run is None:
        return Path(BENCH)
    stages = (finder.read_recipe(source.run) or {}).get("stages", ())
    return source.run / (store.BESIDE if BENCH in stages else BENCH)


def show(done: Done, progress: Progress, as_json: bool) -> None:
    """Print the tables to standard output, and notes on them to standard error."""
    for doubt in tables.doubts(done.bench):
        progress.warn(doubt)
    _print(done.bench, as_json)
    for note in tables.notes(done.bench):
        progress.say(note)
    for line in done.setup_differences:
        progress.warn(f"--against: {line}")
    for line in done.slower:
        progress.say(f"slower: {line}")
    for outcome in done.gates:
        if outcome.passed:
            progress.say(f"gate passed: {outcome}")
    ci.annotate(done.gates)
    figures, times = bench_result.FILE, bench_result.SAMPLES
    progress.say(f"{done.folder}/{figures} holds every figure, {times} the raw times.")


def _print(bench: Bench, as_json: bool) -> None:
    from jpqd.core import console

    if as_json:
        console.show(True, bench.model_dump(mode="json"), None)
    for table in () if as_json else tables.tables(bench):
        console.print_table(table)


def conclude(done: Done) -> None:
    """Raise an error where the benchmark was interrupted or a gate failed."""
    if not done.bench.complete:
        signum = interrupts.pending() or signal.SIGINT
        raise Interrupted(f"interrupted; {done.folder} holds what was measured before", signum)
    if failed := [str(outcome) for outcome in done.gates if not outcome.passed]:
        raise RunError("these gates failed:\n" + "\n".join(failed))


def as_stage(settings: Settings, needs: Sequence[str], ctx: Context) -> dict[str, Any]:
    """Measure stages of a recipe; the first one is the baseline."""
    if not processes.is_main():
        return {}
    folders = {name: ctx.inputs[name] for name in needs}
    source = Source(folders, needs[0], ctx.out.parent, whole=True)
    arms = prepare.chosen(settings, source)
    job = prepare.job(settings, source, arms, None, ctx.cache, ctx.progress)
    result, samples = session.run(job, ctx.progress)
    if not result.complete:
        raise Interrupted(
            "interrupted; run the recipe again, which starts this benchmark anew",
            interrupts.pending(),
        )
    store.write(result, samples, ctx.out)
    for doubt in tables.doubts(result):
        ctx.progress.warn(doubt)
    for note in tables.notes(result):
        ctx.progress.say(f"    {note}")
    return store.summary(result)


def settings(**options: Any) -> Settings:
    """Read settings from options of the command line; `1,8,32` is a list."""
    given = {name: value for name, value in options.items() if value is not None}
    for name, kind in (("arms", str), ("modes", str), ("batch", int)):
        if name in given:
            words = [word.strip() for word in given[name].split(",")]
            given[name] = [int(w) if kind is int and w.isdigit() else w for w in words]
    try:
        return Settings.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        option = {"modes": "mode"}.get(str(first["loc"][0]), str(first["loc"][0]))
        raise UserError(f"--{option}: {first['msg']} (got {first['input']!r}).") from None
