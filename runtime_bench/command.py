"""What `jpqd bench` and `use: bench` do."""

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
from runtime_bench import gates, store
from runtime_bench.job import prepare, sources
from runtime_bench.job.sources import Source
from runtime_bench.measure import session
from runtime_bench.options import Settings


@dataclass(frozen=True)
class Wanted:
    """The options of the command that are no settings of the benchmark itself."""

    names: Sequence[str]
    runs: Path
    baseline: str | None
    texts: Path | None
    out: Path | None
    gates: Sequence[str]
    against: Path | None


@dataclass(frozen=True)
class Done:
    bench: Bench
    folder: Path
    unlike: list[str]
    """Why an earlier result may not be comparable."""
    slower: list[str]
    failed: list[str]


def bench(wanted: Wanted, settings: Settings, progress: Progress) -> Done:
    """What can be refused is refused before anything is measured."""
    parsed = [gates.parse(text) for text in wanted.gates]
    old = bench_result.read(wanted.against) if wanted.against else None
    if old is None and any(gate.metric == "slower" for gate in parsed):
        raise UserError("--gate slower: slower than what? Give --against OLD/bench.json.")
    source = sources.find(wanted.names, wanted.runs, wanted.baseline)
    folder = _folder(wanted, source)
    store.check(folder)
    arms = prepare.chosen(settings, source)
    gates.check_arms(parsed, [arm.name for arm in arms])
    cache = (source.run.parent if source.run else wanted.runs) / ".cache"
    with (
        lock.hold(source.run) if source.whole and source.run else nullcontext(),
        lock.sealing(folder.resolve(), "Choose with --out.") as partial,
    ):
        job = prepare.job(settings, source, arms, wanted.texts, cache, progress)
        found, samples = session.run(job, progress)
        store.seal(found, samples, partial, folder)
    slower = list(gates.slower(found, old)) if old else []
    unlike = list(gates.unlike(found, old)) if old else []
    return Done(found, folder, unlike, slower, gates.failures(found, parsed, len(slower)))


def _folder(wanted: Wanted, source: Source) -> Path:
    """In the run when one was measured as a whole, unless its recipe has a stage called so."""
    if wanted.out is not None:
        return wanted.out
    if not source.whole or source.run is None:
        return Path(BENCH)
    stages = (finder.read_recipe(source.run) or {}).get("stages", ())
    return source.run / (store.BESIDE if BENCH in stages else BENCH)


def show(done: Done, progress: Progress, as_json: bool) -> None:
    """The tables on standard output, what has to be known of them on standard error."""
    from jpqd.core import console

    if as_json:
        console.show(True, done.bench.model_dump(mode="json"), None)
    for table in () if as_json else tables.tables(done.bench):
        console.print_table(table)
    for note in tables.notes(done.bench):
        progress.say(note)
    for line in done.unlike:
        progress.warn(f"--against: {line}")
    for line in done.slower:
        progress.say(f"slower: {line}")
    figures, times = bench_result.FILE, bench_result.SAMPLES
    progress.say(f"{done.folder}/{figures} holds every figure, {times} the raw times.")


def conclude(done: Done) -> None:
    """The exit code: interrupted, or a gate that failed."""
    if not done.bench.complete:
        signum = interrupts.pending() or signal.SIGINT
        raise Interrupted(f"interrupted; {done.folder} holds what was measured until then", signum)
    if done.failed:
        raise RunError("gates that failed:\n" + "\n".join(done.failed))


def as_stage(settings: Settings, needs: Sequence[str], ctx: Context) -> dict[str, Any]:
    """Measure stages of a recipe; the first one is the baseline."""
    if not processes.is_main():
        return {}
    folders = {name: ctx.inputs[name] for name in needs}
    source = Source(folders, needs[0], ctx.out.parent, whole=True)
    arms = prepare.chosen(settings, source)
    job = prepare.job(settings, source, arms, None, ctx.cache, ctx.progress)
    found, samples = session.run(job, ctx.progress)
    if not found.complete:
        raise Interrupted("interrupted; a benchmark starts again", interrupts.pending())
    store.write(found, samples, ctx.out)
    for note in tables.notes(found):
        ctx.progress.say(f"    {note}")
    return store.summary(found)


def settings(**options: Any) -> Settings:
    """From the command line's words; `1,8,32` is a list."""
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
