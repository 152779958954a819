"""A benchmark's tables for a terminal of 80 columns: the arms, then each workload's speeds."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from rich.table import Table

from jpqd.core import artifact, bench_result, terminal
from jpqd.core.bench_result import Accuracy, Arm, Bench, Estimate, Figures, Measurement

_RIGHT = ("accuracy", "agreement", "f1", "pearson", "MB", "serving", "added", "peak", "soak",
          "late", "load s", "compile s", "cached s", "p50", "p90", "p95", "p99", "rows/s",
          "speedup", "n")  # fmt: skip


def tables(bench: Bench) -> Iterator[Table]:
    yield _arms(bench)
    yield _memory(bench)
    for workload in bench.workloads:
        measurements = [m for m in bench.measurements if m.workload == workload.name]
        closed: dict[str, Measurement] = {m.mode: m for m in measurements if m.mode != "open_loop"}
        if closed:
            title = f"{workload.name}, {bench.asked.threads} threads, {bench.asked.device}"
            yield _closed(f"{title}, padding {workload.padding:.0%}, ms", bench, closed)
        if served := [m for m in measurements if m.mode == "open_loop"]:
            yield _open(f"{workload.name}, open loop, ms", bench, served)


def of_folders(folders: Iterable[Path]) -> Iterator[Table]:
    """Yield the tables of every benchmark among sealed folders."""
    for folder in folders:
        manifest = artifact.read(folder)
        if manifest is not None and manifest.kind == "bench":
            yield from tables(bench_result.read(folder))


def _arms(bench: Bench) -> Table:
    """Make the table of what does not change with the workload."""
    table = _table("Arms", "arm", "backend", "precision", metric(bench), "n", "MB")
    for arm in bench.arms:
        table.add_row(
            arm.name,
            arm.backend,
            arm.precision,
            *_accuracy(arm.accuracy),
            f"{arm.bytes / 1e6:.1f}",
        )
    return table


def metric(bench: Bench) -> str:
    """Name the figure of the arms that stands for their quality."""
    return next((arm.accuracy.metric for arm in bench.arms if arm.accuracy), "accuracy")


def _memory(bench: Bench) -> Table:
    """Make the table of resident memory and of the time until the first answer."""
    soaked = ["soak", "late"] if bench.asked.soak else []
    title = "Memory of the process, MB, and start"
    if soaked:
        title += f" (soak: growth over {bench.asked.soak:,} requests, late: in their second half)"
    heads = ("serving", "added", "peak", *soaked, "load s", "compile s", "cached s")
    table = _table(title, "arm", *heads)
    for arm in bench.arms:
        starts = (arm.load_seconds, arm.compile_cold_seconds, arm.compile_cached_seconds)
        table.add_row(arm.name, *memory(bench, arm), *map(_number, starts))
    return table


def memory(bench: Bench, arm: Arm) -> list[str]:
    """Return what an arm's process holds, how much of it came with loading, its peak and growth."""
    serving, before, soak = arm.rss_serving_mb, arm.rss_before_mb, arm.soak
    grown = [f"{soak.growth_mb:+.1f}", f"{soak.late_growth_mb:+.1f}"] if soak else ["", ""]
    return [
        "" if serving is None else f"{serving:.0f}",
        "" if serving is None or before is None else f"{serving - before:.0f}",
        f"{arm.peak_rss_mb:.0f}",
        *(grown if bench.asked.soak else []),
    ]


def _closed(title: str, bench: Bench, measurements: dict[str, Measurement]) -> Table:
    """Make the table of a workload; speedups are of latency where that was measured."""
    table = _table(title, "arm", "n", "p50", "p90", "p95", "p99", "rows/s", "speedup")
    first = next(iter(measurements.values()))
    most = measurements.get("throughput", first)
    for arm in bench.arms:
        figures = first.arms[arm.name]
        rows = _number(most.arms[arm.name].rows_per_second.value)
        table.add_row(arm.name, *_latency(figures), rows, _ratio(figures.speedup))
    return table


def _open(title: str, bench: Bench, measurements: list[Measurement]) -> Table:
    table = _table(title, "arm", "load", "rows/s", "n", "p50", "p90", "p95", "p99")
    for arm in bench.arms:
        for measurement in measurements:
            figures = measurement.arms[arm.name]
            rows = _number(figures.rows_per_second.value)
            table.add_row(arm.name, f"{measurement.rate:.0%}", rows, *_latency(figures))
    return table


def doubts(bench: Bench) -> Iterator[str]:
    """Yield the reasons not to trust the speeds; a reader needs them before the tables."""
    disturbed = sum(len(measurement.disturbed) for measurement in bench.measurements)
    if disturbed:
        yield (
            f"in {disturbed} of {sum(m.blocks for m in bench.measurements)} blocks other programs "
            "used the processors; measure again on a quiet machine"
        )
    if not bench.complete:
        yield "interrupted: the figures are of the blocks measured before that"


def notes(bench: Bench) -> Iterator[str]:
    """Yield notes that a reader of the tables must know."""
    for arm in bench.arms:
        if arm.energy_note:
            yield f"energy: {arm.energy_note}"
            break


def _table(title: str, *columns: str) -> Table:
    table = terminal.new_table(title)
    for column in columns:
        right, whole = column in _RIGHT, column == "speedup"
        table.add_column(
            column, justify="right" if right else "left", overflow="fold", no_wrap=whole
        )
    return table


def _latency(figures: Figures) -> list[str]:
    latency = figures.latency_ms
    if latency is None:
        return ["", "", "", "", ""]
    return [
        str(latency.n),
        *(_percentile(p) for p in (latency.p50, latency.p90, latency.p95, latency.p99)),
    ]


def _percentile(estimate: Estimate) -> str:
    """Write a percentile; `n<299` means that it needs 299 requests and there are fewer."""
    return f"n<{estimate.needs}" if estimate.value is None else _number(estimate.value)


def _ratio(estimate: Estimate | None) -> str:
    if estimate is None:
        return "baseline"
    ratio, low, high = map(_number, (estimate.value, estimate.low, estimate.high))
    return f"{ratio}x [{low}, {high}]" if low else f"{ratio}x"


def _accuracy(accuracy: Accuracy | None) -> list[str]:
    return ["", ""] if accuracy is None else [f"{accuracy.value:.4f}", str(accuracy.n)]


def _number(value: float | None) -> str:
    """Write a number with three digits, trailing zeros included."""
    if value is None:
        return ""
    return f"{value:.0f}" if value >= 99.95 else f"{value:#.3g}"
