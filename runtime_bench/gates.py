"""Gates such as `--gate "speedup>=4"`, and the comparison of `--against` with an earlier result."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from jpqd.core.bench_result import Accuracy, Bench, Estimate, Figures, Measurement
from jpqd.core.errors import UserError
from jpqd.recipe import plugins
from runtime_bench.measure import statistics

_GATE = re.compile(
    r"(?:(?P<arm>[\w:/.-]+)\.)?(?P<metric>\w+)\s*(?P<sign><=|>=)\s*(?P<limit>[\d.]+)"
)
METRICS = ("speedup", "accuracy_drop", "p50_ms", "p90_ms", "p95_ms", "p99_ms", "rows_per_second",
           "size_mb", "rss_mb", "slower")  # fmt: skip
_EXAMPLE = 'Write, for example, "speedup>=4", "accuracy_drop<=1.0" or "jpqd_ir.p95_ms<=10".'
_NOTHING = "nothing was compared: no arm and workload is in both, over the same baseline"


@dataclass(frozen=True)
class Gate:
    """A limit for an arm, or for the last one that runs as it is deployed."""

    text: str
    arm: str | None
    metric: str
    at_least: bool
    limit: float


def parse(text: str) -> Gate:
    match = _GATE.fullmatch(text.strip())
    try:
        limit = float(match["limit"]) if match else 0.0
    except ValueError:
        match = None
    if match is None:
        raise UserError(f"--gate {text!r} is not a comparison. {_EXAMPLE}")
    if match["metric"] not in METRICS:
        raise UserError(f"--gate {text!r}: {plugins.unknown(match['metric'], METRICS)}. {_EXAMPLE}")
    return Gate(text, match["arm"], match["metric"], match["sign"] == ">=", limit)


def check_arms(gates: list[Gate], names: list[str]) -> None:
    """Refuse gates on unknown arms before anything is measured."""
    for gate in gates:
        if gate.arm is not None and gate.arm not in names:
            raise UserError(
                f"--gate {gate.text!r}: no arm {gate.arm!r}; {plugins.unknown(gate.arm, names)}."
            )


@dataclass(frozen=True)
class Outcome:
    """The result of a gate."""

    gate: str
    passed: bool
    found: str
    """The arm and its figure, or why there is none."""

    def __str__(self) -> str:
        return f"{self.gate}: {self.found}"


def outcomes(bench: Bench, gates: list[Gate], old: Bench | None) -> list[Outcome]:
    """Check gates. An unknown figure fails: nothing says that it keeps the limit."""
    return [_outcome(bench, gate, old) for gate in gates]


def _outcome(bench: Bench, gate: Gate, old: Bench | None) -> Outcome:
    if gate.metric == "slower":
        return _not_slower(bench, gate, old)
    arm = gate.arm or _deployed(bench)
    if arm == bench.baseline and gate.metric in _AGAINST:
        return Outcome(
            gate.text, False, f"{arm}: it is the baseline. Name an arm: ARM.{gate.metric}"
        )
    figure = _figure(bench, arm, gate)
    if figure.value is None:
        same = " of the same rows" if gate.metric == "accuracy_drop" else ""
        why = f"needs n >= {figure.needs}" if figure.needs else f"not measured{same}"
        return Outcome(gate.text, False, f"{arm}: not known ({why})")
    return Outcome(
        gate.text, _keeps(gate, figure.value), f"{arm}: {figure.value:.4g}{_interval(figure)}"
    )


_AGAINST = ("speedup", "accuracy_drop")
"""Figures that a baseline cannot have."""


def _deployed(bench: Bench) -> str:
    """Return the last arm as it runs by default, or the last one where none does."""
    names = [arm.name for arm in bench.arms]
    default = [arm.name for arm in bench.arms if arm.name == arm.stage]
    return (default or names)[-1]


def _not_slower(bench: Bench, gate: Gate, old: Bench | None) -> Outcome:
    compared = list(_comparisons(bench, old)) if old else []
    if not compared:
        return Outcome(gate.text, False, _NOTHING)
    if unknown := [found.what for found in compared if not found.is_known()]:
        return Outcome(gate.text, False, f"not known for too few blocks: {unknown[0]}")
    found = sum(one.is_slower() for one in compared)
    return Outcome(gate.text, _keeps(gate, found), f"{found} of {len(compared)} comparisons")


def _keeps(gate: Gate, value: float) -> bool:
    return value >= gate.limit if gate.at_least else value <= gate.limit


def _figure(bench: Bench, name: str, gate: Gate) -> Estimate:
    """Return the figure of a gate, from latency mode where it can."""
    arm, metric = bench.arm(name), gate.metric
    if metric == "size_mb":
        return Estimate(value=arm.bytes / 1e6)
    if metric == "rss_mb":
        return Estimate(value=arm.peak_rss_mb)
    if metric == "accuracy_drop":
        return Estimate(value=_drop(bench.arm(bench.baseline).accuracy, arm.accuracy))
    if metric == "rows_per_second":
        return figures(bench, name, "throughput").rows_per_second
    latency = figures(bench, name, "latency")
    if metric == "speedup":
        return latency.speedup or Estimate(value=1.0)
    return (
        getattr(latency.latency_ms, metric.removesuffix("_ms"))
        if latency.latency_ms
        else Estimate()
    )


def _drop(base: Accuracy | None, own: Accuracy | None) -> float | None:
    """Return the difference, where both are the same figure of as many rows of one split."""
    if base is None or own is None or _of(base) != _of(own):
        return None
    return (1 if own.metric == "log_likelihood" else 100) * (base.value - own.value)


def _of(accuracy: Accuracy) -> tuple[str, str, int]:
    """Return what a figure is of; a language model's IR may run in two ways."""
    return accuracy.metric, accuracy.split.removesuffix(", deployed"), accuracy.n


def figures(bench: Bench, name: str, mode: str) -> Figures:
    """Return an arm's figures in a mode, or in the first mode that was measured."""
    ordered = sorted(bench.measurements, key=lambda m: m.mode != mode)
    return ordered[0].arms[name]


def slower(new: Bench, old: Bench) -> Iterator[str]:
    """Name arms whose speed fell by more than the intervals and the usual variation.

    Speedups over each run's own baseline are compared, so that another machine or day makes no
    difference; the baseline itself is compared by its p50.
    """
    for found in _comparisons(new, old):
        if found.is_slower():
            yield str(found)


@dataclass(frozen=True)
class _Compared:
    """A figure of an arm in both results: its speedup, or a baseline's p50."""

    what: str
    then: Estimate
    now: Estimate
    is_time: bool

    def is_known(self) -> bool:
        return None not in (self.then.low, self.then.high, self.now.low, self.now.high)

    def is_slower(self) -> bool:
        low, high = (self.then, self.now) if self.is_time else (self.now, self.then)
        if low.high is None or high.low is None:
            return False
        return low.high * (1 + statistics.MARGIN) < high.low

    def __str__(self) -> str:
        if self.is_time:
            return f"{self.what}: p50 {_text(self.then, ' ms')} -> {_text(self.now, ' ms')}"
        then, now = _text(self.then, "x"), _text(self.now, "x")
        return f"{self.what}: {then} -> {now} of the baseline"


def _comparisons(new: Bench, old: Bench) -> Iterator[_Compared]:
    """Yield what is in both. A baseline's throughput is not: it has neither speedup nor p50."""
    for what, then, now in _pairs(new, old):
        if then.speedup and now.speedup:
            yield _Compared(what, then.speedup, now.speedup, is_time=False)
        elif then.latency_ms and now.latency_ms:
            yield _Compared(what, then.latency_ms.p50, now.latency_ms.p50, is_time=True)


def _pairs(new: Bench, old: Bench) -> Iterator[tuple[str, Figures, Figures]]:
    """Yield the figures of each arm that both measured alike, with the same texts and baseline."""
    if new.baseline != old.baseline:
        return
    before: dict[tuple[str, str, tuple[str, int, int]], Measurement] = {
        (m.mode, m.workload, _texts(old, m)): m for m in old.measurements if m.mode != "open_loop"
    }
    for measurement in new.measurements:
        alike = (measurement.mode, measurement.workload, _texts(new, measurement))
        earlier = before.get(alike)
        for name, now in measurement.arms.items() if earlier else ():
            if earlier and name in earlier.arms:
                what = f"{name}, {measurement.mode}, {measurement.workload}"
                yield what, earlier.arms[name], now


def _texts(bench: Bench, measurement: Measurement) -> tuple[str, int, int]:
    """Tell the texts of a measurement from others: their file's name, rows and tokens."""
    of = next(w for w in bench.workloads if w.name == measurement.workload)
    return Path(of.source).name, of.rows, of.useful_tokens


def setup_differences(new: Bench, old: Bench) -> Iterator[str]:
    """Name what was different when the earlier result was measured."""
    pairs = {
        "processor": (old.host.processor, new.host.processor),
        "device": (old.asked.device, new.asked.device),
        "threads": (old.asked.threads, new.asked.threads),
        "policy": (old.asked.policy, new.asked.policy),
        "baseline": (old.baseline, new.baseline),
        "texts": (_sources(old), _sources(new)),
    }
    for what, (then, now) in pairs.items():
        if then != now:
            yield f"{what}: {then} in the earlier result, {now} in this one"
    if not list(_comparisons(new, old)):
        yield _NOTHING


def _sources(bench: Bench) -> str:
    return " and ".join(dict.fromkeys(Path(one.source).name for one in bench.workloads))


def _text(estimate: Estimate, unit: str) -> str:
    return f"{estimate.value:.3g}{unit}{_interval(estimate)}"


def _interval(estimate: Estimate) -> str:
    if estimate.low is None or estimate.high is None:
        return ""
    return f" [{estimate.low:.2f}, {estimate.high:.2f}]"
