"""The benchmark's tables: every arm in every measurement, and the other costs of each arm."""

from __future__ import annotations

from collections.abc import Iterator

from jpqd.core.bench_result import Bench, Figures, Measurement
from jpqd.report import bench_tables, words
from jpqd.report.page.tables import Table
from jpqd.report.words import INTERVAL, NONE


def measurements(bench: Bench) -> Iterator[Table]:
    """Yield one table for each measurement, with every arm in it."""
    for measurement in bench.measurements:
        head = ["arm", "backend", "precision"]
        if measurement.mode != "throughput":
            head += ["n", *(f"{name}, ms {INTERVAL}" for name in _PERCENTILES)]
        head += [f"rows/s {INTERVAL}"]
        if measurement.mode != "open_loop":
            head += [f"speed ratio {INTERVAL}"]
        rows = [_arm(bench, measurement, name) for name in measurement.arms]
        yield Table(_title(measurement), head, rows, _measurement_note(bench, measurement))


_PERCENTILES = ("p50", "p90", "p95", "p99")


def _arm(bench: Bench, measurement: Measurement, name: str) -> list[str]:
    arm, figures = bench.arm(name), measurement.arms[name]
    ratio = words.ratio(figures.speedup) if figures.speedup else "baseline"
    return [
        name,
        arm.backend,
        arm.precision,
        *([] if measurement.mode == "throughput" else _latency(figures)),
        words.measured(figures.rows_per_second),
        *([] if measurement.mode == "open_loop" else [ratio]),
    ]


def _latency(figures: Figures) -> list[str]:
    latency = figures.latency_ms
    if latency is None:
        return [NONE] * (1 + len(_PERCENTILES))
    return [str(latency.n), *(words.measured(getattr(latency, name)) for name in _PERCENTILES)]


def _title(measurement: Measurement) -> str:
    mode = {"latency": "Latency", "throughput": "Throughput", "open_loop": "Random arrivals"}
    rate = f" at {measurement.rate:.0%} of capacity" if measurement.rate else ""
    return f"{mode[measurement.mode]}{rate}, {measurement.workload}"


def _measurement_note(bench: Bench, run: Measurement) -> str:
    workload = next(w for w in bench.workloads if w.name == run.workload)
    disturbed = ", ".join(map(str, run.disturbed)) or "none"
    if len(run.disturbed) == run.blocks:
        disturbed = "all"
    return (
        f"{bench.asked.device}, threads: {bench.asked.threads}; {run.blocks} blocks of "
        f"{run.requests_per_block} requests, disturbed by other programs: {disturbed}; rows of "
        f"{workload.source}, padding {workload.padding:.0%}."
    )


def arms(bench: Bench) -> Table:
    """Make the table of accuracy, size, memory and start of each arm."""
    metric = bench_tables.metric(bench)
    grown = ["growth, MB", "late growth, MB"] if bench.asked.soak else []
    head = ["arm", f"{metric} {INTERVAL}, n", "file, MB", "parameters", "memory, MB",
            "added by loading, MB", "peak, MB", *grown, "load, s", "compile, s", "from cache, s",
            "energy, J"]  # fmt: skip
    rows = [
        [
            arm.name,
            words.accuracy(arm.accuracy),
            words.megabytes(arm.bytes),
            NONE if arm.parameters is None else f"{arm.parameters:,}",
            *(figure or NONE for figure in bench_tables.memory(bench, arm)),
            words.number(arm.load_seconds),
            words.number(arm.compile_cold_seconds),
            words.number(arm.compile_cached_seconds),
            words.number(arm.energy_joules),
        ]
        for arm in bench.arms
    ]
    energy = next((f" Energy: {arm.energy_note}." for arm in bench.arms if arm.energy_note), "")
    note = (
        "Memory: resident, of the arm's own process with Python and the runtime, after its first "
        f"requests; the peak is of the time until then.{_growth_note(bench)}{energy}"
    )
    return Table(f"{metric.capitalize()}, size, memory and start", head, rows, note)


def _growth_note(bench: Bench) -> str:
    if not bench.asked.soak:
        return ""
    return f" Growth: over {bench.asked.soak:,} more requests, and in the second half of them."
