"""Gates such as `--gate "speedup>=4"`, and the comparison of `--against` with an earlier result."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

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


@dataclass(frozen=True)
class Gate:
    """A limit for an arm, or for the last arm: a run's last IR, or the last folder."""

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
    arm = gate.arm or bench.arms[-1].name
    figure = _figure(bench, arm, gate)
    if figure.value is None:
        same = " of the same rows" if gate.metric == "accuracy_drop" else ""
        why = f"needs n >= {figure.needs}" if figure.needs else f"not measured{same}"
        return Outcome(gate.text, False, f"{arm}: not known ({why})")
    return Outcome(
        gate.text, _keeps(gate, figure.value), f"{arm}: {figure.value:.4g}{_interval(figure)}"
    )


def _not_slower(bench: Bench, gate: Gate, old: Bench | None) -> Outcome:
    compared = len(list(_pairs(bench, old))) if old else 0
    if not old or not compared:
        return Outcome(gate.text, False, "nothing was compared: no arm and workload is in both")
    found = len(list(slower(bench, old)))
    return Outcome(gate.text, _keeps(gate, found), f"{found} of {compared} comparisons")


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
    for what, then, now in _pairs(new, old):
        yield from _slower(what, then, now)


def _pairs(new: Bench, old: Bench) -> Iterator[tuple[str, Figures, Figures]]:
    """Yield the figures of each arm that both results measured in the same way."""
    before: dict[tuple[str, str], Measurement] = {
        (m.mode, m.workload): m for m in old.measurements if m.mode != "open_loop"
    }
    for measurement in new.measurements:
        earlier = before.get((measurement.mode, measurement.workload))
        for name, now in measurement.arms.items() if earlier else ():
            if earlier and name in earlier.arms:
                what = f"{name}, {measurement.mode}, {measurement.workload}"
                yield what, earlier.arms[name], now


def setup_differences(new: Bench, old: Bench) -> Iterator[str]:
    """Name what was different when the earlier result was measured."""
    pairs = {
        "processor": (old.host.processor, new.host.processor),
        "device": (old.asked.device, new.asked.device),
        "threads": (old.asked.threads, new.asked.threads),
        "policy": (old.asked.policy, new.asked.policy),
    }
    for what, (then, now) in pairs.items():
        if then != now:
            yield f"{what}: {then} in the earlier result, {now} in this one"
    if not list(_pairs(new, old)):
        yield "the two results share no workload or no arm: nothing was compared"


def _slower(what: str, old: Figures, new: Figures) -> Iterator[str]:
    margin = 1 + statistics.MARGIN
    if old.speedup and new.speedup:
        if _below(new.speedup, old.speedup, margin):
            yield f"{what}: {_text(old.speedup, 'x')} -> {_text(new.speedup, 'x')} of the baseline"
    elif old.latency_ms and new.latency_ms:
        then, now = old.latency_ms.p50, new.latency_ms.p50
        if _below(then, now, margin):
            yield f"{what}: p50 {_text(then, ' ms')} -> {_text(now, ' ms')}"


def _below(small: Estimate, large: Estimate, margin: float) -> bool:
    return small.high is not None and large.low is not None and small.high * margin < large.low


def _text(estimate: Estimate, unit: str) -> str:
    return f"{estimate.value:.3g}{unit}{_interval(estimate)}"


def _interval(estimate: Estimate) -> str:
    if estimate.low is None or estimate.high is None:
        return ""
    return f" [{estimate.low:.2f}, {estimate.high:.2f}]"
