"""The whole benchmark: start the arms, measure in blocks, and collect the figures."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np

from jpqd.core import bench_result, interrupts
from jpqd.core.bench_result import Bench, Measurement, Mode, Workload
from jpqd.core.errors import Interrupted, UserError
from jpqd.core.progress import Progress
from runtime_bench.job import accuracy, prompts, workload
from runtime_bench.job.arms import Arm, check_room
from runtime_bench.job.prepare import Job
from runtime_bench.machine import host
from runtime_bench.measure import blocks, figures
from runtime_bench.measure.blocks import Measured, Plan, Run
from runtime_bench.measure.crew import Crew
from runtime_bench.measure.statistics import FEWEST_BLOCKS
from runtime_bench.options import Settings
from runtime_bench.writing import NEW_TOKENS

if TYPE_CHECKING:
    from runtime_bench.backend import Request

Samples = dict[str, np.ndarray]
Requests = dict[str, "list[Request]"]
"""The requests of each arm."""

_START_SECONDS = 6
"""The rough time of an arm to load, compile and warm up."""
_LEAST = {"latency": 2, "throughput": 8, "open_loop": 40}
"""The least requests of an arm in a block, however slow it is: a queue has to fill."""
_TIMES_FULL = 4
"""The times that a turn of throughput fills the queue, which starts and ends empty."""
_SERVE_BLOCKS = 6
_OTHERS = ("rate", "accuracy", "policy", "soak")
"""Settings that language models do not have."""
NO_COUNTERS = "not measurable here: no energy counters"


def run(job: Job, progress: Progress) -> tuple[Bench, Samples]:
    """Measure a job; after Ctrl-C return what was measured, or raise `Interrupted` without any."""
    before, begun, asked = host.load(), time.monotonic(), job.settings
    built = _all_built(job)
    every = chain.from_iterable(requests for _, of_arms in built for requests in of_arms.values())
    check_room(job.arms, max(_tokens(one) for one in every))
    total = asked.seconds + _START_SECONDS * len(job.arms)
    progress.say(f"{len(job.arms)} arms with {job.threads} threads: about {total / 60:.1f} minutes")
    with Crew() as crew:
        share = asked.seconds / len(built) if job.writes else asked.share()
        session = Session(job, crew, progress, share)
        # Memory is told after these: those that take the most.
        session.start(max(built, key=lambda one: _room(one[1]))[1])
        with interrupts.deferred():
            for described, requests in built:
                session.measure(described, requests)
            session.soak(*built[0])
            if session.stopped and not session.measurements:
                raise Interrupted("interrupted before anything was measured", session.stopped)
        arms = [session.described(arm) for arm in job.arms]
    bench = Bench(
        complete=not session.stopped,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        seconds=round(time.monotonic() - begun, 1),
        run=job.run,
        baseline=job.arms[0].name,
        asked=asked.asked(job.threads),
        host=host.describe(before),
        workloads=[described for described, _ in built],
        arms=arms,
        measurements=session.measurements,
    )
    return bench, session.samples()


def _all_built(job: Job) -> list[tuple[Workload, Requests]]:
    if not job.writes:
        if job.settings.new_tokens:
            raise UserError("new_tokens: for language models. These classify: leave it out.")
        return [_built(job, batch) for batch in job.settings.batch]
    asked, usual = job.settings, Settings()
    given = [name for name in _OTHERS if getattr(asked, name) != getattr(usual, name)]
    if given or "latency" not in asked.modes:
        raise UserError(
            f"{', '.join(given) or 'modes'}: for models that classify. A language model is "
            "measured in mode latency: choose --length, --batch and --new-tokens."
        )
    return prompts.build(job.rows, job.settings, job.own_lengths)


def _tokens(request: Request) -> int:
    """Count the tokens that a model has read in the end."""
    written = int(request[NEW_TOKENS][0]) if NEW_TOKENS in request else 0
    return int(request["input_ids"].shape[1]) + written


def _room(of_arms: Requests) -> int:
    """Count the tokens that a model holds for the largest of these requests."""
    every = chain.from_iterable(of_arms.values())
    return max(len(one["input_ids"]) * _tokens(one) for one in every)


def _built(job: Job, batch: int) -> tuple[Workload, Requests]:
    """Build the requests of each arm: of the same texts, and described as the baseline reads them.

    Arms with one vocabulary share them.
    """
    asked = job.settings
    rows = {id(one): one for one in job.rows.values()}
    built = {
        key: workload.build(one, batch, asked.length, asked.policy, asked.seed)
        for key, one in rows.items()
    }
    requests = {name: built[id(one)][1] for name, one in job.rows.items()}
    return built[id(job.rows[job.arms[0].name])][0], requests


class Session:
    """The results so far, so that Ctrl-C loses nothing."""

    def __init__(self, job: Job, crew: Crew, progress: Progress, share: float) -> None:
        """Measure each workload in each mode for `share` seconds."""
        self.job, self.crew, self.progress, self.share = job, crew, progress, share
        self.names = [arm.name for arm in job.arms]
        self.measurements: list[Measurement] = []
        self.measured: list[Measured] = []
        self.accuracies: dict[str, bench_result.Accuracy | None] = {}
        self.energy: dict[str, float] = {}
        self.stopped = 0

    def start(self, of_arms: Requests) -> None:
        for arm in self.job.arms:
            requests = of_arms[arm.name]
            pace = self.crew.start(arm, requests)
            facts = self.crew.facts[arm.name]
            self.progress.say(f"    {arm.name}: {facts['precision']}, {pace:.2f} ms a request")
            self.accuracies[arm.name] = self._accuracy(arm, pace / len(requests[0]["input_ids"]))

    def _accuracy(self, arm: Arm, pace: float) -> bench_result.Accuracy | None:
        """Return a figure that is known, or else measure it where that takes little time."""
        if self.job.writes:
            return accuracy.of_writer(arm, self.crew.facts[arm.name]["precision"])
        asked, rows = self.job.settings, self.job.rows[arm.name]
        if not asked.measures_accuracy():
            precisions = self.crew.facts[arm.name]["matmuls"]
            known = accuracy.of_manifest(arm, self.job.split, precisions)
            if known or len(rows.ids) * pace / 1e3 > asked.seconds / len(self.names):
                return known
        if rows.truth is None or self.job.split is None:
            if not asked.accuracy:
                return None
            raise UserError(
                "--accuracy needs rows with labels. Give a run, or a stage's folder inside a run."
            )
        requests = workload.one_by_one(rows)
        try:
            logits = self.crew.workers[arm.name].ask("logits", requests)
        except UserError as error:  # of an IR for shorter texts than the task has
            if asked.accuracy:
                raise
            self.progress.warn(f"{arm.name}: its accuracy is not measured: {error}")
            return None
        return accuracy.of_logits(rows.truth, logits, self.job.split)

    def measure(self, described: Workload, requests: Requests) -> None:
        """Measure one batch size in every mode."""
        if self.stopped:
            return
        paces = self.crew.prepare(requests)
        asked = self.job.settings
        if "latency" in asked.modes:
            self._one("latency", described, self.crew.run, paces)
        if "throughput" in asked.all_modes() and not self.stopped and not self.job.writes:
            self.crew.open_queues()
            self._one("throughput", described, self.crew.burst, paces)
        for rate in asked.rates():
            if not self.stopped:
                self._open_loop(described, rate)

    def soak(self, described: Workload, requests: Requests) -> None:
        """Let one arm after the other answer many requests, to see whether its memory grows."""
        asked = self.job.settings
        if self.stopped or not asked.soak:
            return
        order = np.random.default_rng(asked.seed).integers(0, described.requests, asked.soak)
        for name, pace in self.crew.prepare(requests).items():
            self.progress.say(
                f"soak, {described.name}: {asked.soak:,} requests of {name}, "
                f"about {asked.soak * pace / 1e3:.0f} s"
            )
            if not self.crew.soak(name, order, interrupts.pending):
                self.stopped = interrupts.pending()
                return

    def _open_loop(self, described: Workload, rate: float) -> None:
        """Offer a share of the capacity that throughput mode measured for these requests."""
        closed = next(m for m in reversed(self.measurements) if m.mode == "throughput")
        capacities = {name: f.rows_per_second.value or 0 for name, f in closed.arms.items()}
        offered = {name: rate * rows / described.batch for name, rows in capacities.items()}
        paces = {name: 1e3 / per_second for name, per_second in offered.items()}
        run = self.crew.serve(offered, self.job.settings.seed)
        self._one("open_loop", described, run, paces, rate, offered)

    def _one(
        self,
        mode: Mode,
        described: Workload,
        run: Run,
        paces: dict[str, float],
        rate: float | None = None,
        offered: dict[str, float] | None = None,
    ) -> None:
        plan = self._plan(mode, paces)
        self.progress.say(
            f"{_words(mode, rate)}, {described.name}: {plan.blocks} blocks of {plan.requests} "
            f"requests for each arm, about {plan.seconds:.0f} s"
        )
        self.crew.forget()
        measured = blocks.measure(
            self.names,
            described.requests,
            plan,
            run,
            seed=self.job.settings.seed + len(self.measurements),
            watch=host.Watch(self.job.threads),
            stop=interrupts.pending,
        )
        self.stopped = 0 if measured.complete else interrupts.pending()
        if not measured.started:
            return
        batch, overhead = described.batch, self.crew.overhead()
        self.energy = self.energy or self.crew.energy()  # of the first workload
        self.measured.append(measured)
        self.measurements.append(
            Measurement(
                mode=mode,
                workload=described.name,
                rate=rate,
                blocks=len(measured.started),
                requests_per_block=plan.requests,
                disturbed=measured.disturbed,
                arms=figures.of(mode, measured, self.names[0], batch, overhead, offered or {}),
            )
        )

    def _plan(self, mode: Mode, paces: dict[str, float]) -> Plan:
        asked = self.job.settings
        count = min(asked.blocks, _SERVE_BLOCKS) if mode == "open_loop" else asked.blocks
        least = _LEAST[mode]
        if mode == "throughput":
            fits = int(1e3 * self.share / FEWEST_BLOCKS / sum(paces.values())) - 2
            least = max(least, min(2 * _TIMES_FULL * self.crew.in_flight(), fits))
        return blocks.plan([*paces.values()], self.share, count, least)

    def described(self, arm: Arm) -> bench_result.Arm:
        energy = self.energy.get(arm.name)
        return bench_result.Arm(
            name=arm.name,
            stage=arm.stage,
            backend=arm.backend.title,
            path=arm.backend.path,
            accuracy=self.accuracies[arm.name],
            energy_joules=energy,
            energy_note=NO_COUNTERS if energy is None else None,
            **self.crew.facts[arm.name],
        )

    def samples(self) -> Samples:
        """Return one row for each time: its measurement, arm, block, start and length."""
        table: list[tuple[int, int, int, float, np.ndarray]] = [
            (number, arm, block, started, times)
            for number, measured in enumerate(self.measured)
            for arm, name in enumerate(self.names)
            for block, (started, times) in enumerate(
                zip(measured.started, measured.blocks[name], strict=True)
            )
        ]
        lengths = [len(row[-1]) for row in table]
        columns = ("measurement", "arm", "block", "block_started_seconds")
        samples = {
            column: np.repeat([row[place] for row in table], lengths)
            for place, column in enumerate(columns)
        }
        times: Sequence[np.ndarray] = [row[-1] for row in table]
        return {**samples, "milliseconds": np.concatenate(times), "arms": np.array(self.names)}


def _words(mode: Mode, rate: float | None) -> str:
    return f"open loop at {rate:.0%} of capacity" if rate else mode
