"""The report's tables as text: the page and the Markdown show the same cells."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from jpqd import report
from jpqd.artifact import Manifest
from runtime_bench.page import words
from runtime_bench.page.gather import Page
from runtime_bench.page.words import INTERVAL, NONE
from runtime_bench.result import Bench, Figures, Measurement

_WORDS = {"use", "split", "precision", "backend", "arm", "file", "chosen by", "matrix products", ""}


@dataclass(frozen=True)
class Table:
    """The first cell of a row names it."""

    title: str
    head: list[str]
    rows: list[list[str]]
    note: str = ""
    texts: set[str] = field(default_factory=lambda: _WORDS)

    def is_number(self, column: int) -> bool:
        return column > 0 and self.head[column] not in self.texts


def stages(page: Page) -> Table:
    """From the baseline to what the run was for."""
    head = [
        "stage", "use", "split", "n", f"{words.titled(page.metric)} {INTERVAL}",
        f"{words.points(page.metric)} {INTERVAL}", "file, MB", "parameters", "encoder kept",
        "precision",
    ]  # fmt: skip
    if page.latency:
        head += [f"p50, ms {INTERVAL}", f"speed ratio {INTERVAL}"]
    rows = [row for stage in page.stages for row in _stage(page, stage)]
    return Table("Stages", head, rows, _stages_note(page))


def _stage(page: Page, stage: Manifest) -> Iterator[list[str]]:
    """A line for each split that was measured."""
    facts = stage.metrics.get("model", {})
    for split, figures in report.measured(stage) or [(NONE, {})]:
        yield [
            stage.stage,
            stage.use,
            split,
            str(figures.get("n", NONE)),
            words.score(page.metric, figures.get(page.metric), figures.get(f"{page.metric}_95")),
            _difference(page, stage),
            words.megabytes(_model_bytes(stage)),
            f"{facts['parameters']:,}" if "parameters" in facts else NONE,
            words.share(facts.get("encoder_share")),
            facts.get("precision", NONE),
            *(_speed(page, stage.stage) if page.latency else []),
        ]


def _difference(page: Page, stage: Manifest) -> str:
    if stage is page.baseline:
        return "baseline"
    found = page.difference(stage.stage)
    return words.difference(page.metric, found.difference if found else None)


def _model_bytes(stage: Manifest) -> int | None:
    """Weights and graph, without tokenizer, history and predictions."""
    found = [
        entry.bytes
        for name, entry in stage.files.items()
        if PurePosixPath(name).name.startswith(("model", "openvino_model"))
    ]
    return sum(found) if found else None


def _speed(page: Page, stage: str) -> list[str]:
    arm = page.arm(stage)
    if arm is None or page.latency is None:
        return [NONE, NONE]
    figures = page.latency.arms[arm.name]
    p50 = figures.latency_ms.p50 if figures.latency_ms else None
    return [words.measured(p50), words.ratio(figures.speedup) if figures.speedup else "baseline"]


def _stages_note(page: Page) -> str:
    note = (
        f"{words.points(page.metric).capitalize()}: to {page.baseline.stage} on the same rows, "
        "paired. File: weights and graph; a quantized stage is stored in f32 until it is exported."
    )
    if page.bench and page.latency:
        base = page.bench.arm(page.bench.baseline)
        note += (
            f" p50 and ratio: {page.latency.mode}, {page.latency.workload}, over {base.name} "
            f"({words.arm(base)}); above 1 is faster."
        )
    return note


def differences(page: Page) -> Table | None:
    found = page.comparison
    if found is None:
        return None
    metric = found.metric
    rows = [
        [
            row.stage,
            str(row.n),
            words.score(metric, row.value),
            words.difference(metric, row.difference) if row.difference else "baseline",
            NONE if row.mcnemar_p is None else f"{row.mcnemar_p:.3g}",
            words.score(metric, row.agreement),
        ]
        for row in found.stages
    ]
    agreement = "same class, %" if metric == "accuracy" else "correlation with it"
    head = ["stage", "n", words.titled(metric), f"{words.points(metric)} {INTERVAL}",
            "McNemar p", agreement]  # fmt: skip
    note = f"On {found.split}, the same rows as {found.baseline}; intervals over rows, bootstrap."
    return Table(f"Differences to {found.baseline}", head, rows, note)


def speed(bench: Bench) -> Iterator[Table]:
    """One for each measurement, every arm in it."""
    for measurement in bench.measurements:
        served = measurement.mode == "open_loop"
        head = ["arm", "backend", "precision", "n", *(f"{p}, ms {INTERVAL}" for p in _PERCENTILES)]
        head += ["rows/s" if served else f"rows/s {INTERVAL}"]
        head += [] if served else [f"speed ratio {INTERVAL}"]
        head += ["accuracy, %", "file, MB", "memory, MB"]
        rows = [_arm(bench, measurement, name) for name in measurement.arms]
        yield Table(_measurement(measurement), head, rows, _measurement_note(bench, measurement))


_PERCENTILES = ("p50", "p90", "p95", "p99")


def _arm(bench: Bench, measurement: Measurement, name: str) -> list[str]:
    arm, figures = bench.arm(name), measurement.arms[name]
    ratio = words.ratio(figures.speedup) if figures.speedup else "baseline"
    return [
        name,
        arm.backend,
        arm.precision,
        *_latency(figures),
        words.measured(figures.rows_per_second),
        *([] if measurement.mode == "open_loop" else [ratio]),
        words.accuracy(arm.accuracy),
        words.megabytes(arm.bytes),
        f"{arm.peak_rss_mb:.0f}",
    ]


def _latency(figures: Figures) -> list[str]:
    found = figures.latency_ms
    if found is None:
        return [NONE] * (1 + len(_PERCENTILES))
    return [str(found.n), *(words.measured(getattr(found, name)) for name in _PERCENTILES)]


def _measurement(found: Measurement) -> str:
    mode = {"latency": "Latency", "throughput": "Throughput", "open_loop": "Random arrivals"}
    rate = f" at {found.rate:.0%} of capacity" if found.rate else ""
    return f"{mode[found.mode]}{rate}, {found.workload}"


def _measurement_note(bench: Bench, found: Measurement) -> str:
    workload = next(w for w in bench.workloads if w.name == found.workload)
    disturbed = ", ".join(map(str, found.disturbed)) or "none"
    return (
        f"{bench.asked.threads} threads, {bench.asked.device}; {found.blocks} blocks of "
        f"{found.requests_per_block} requests, disturbed by other programs: {disturbed}; rows of "
        f"{workload.source}, padding {workload.padding:.0%}. Memory: peak of the arm's own process."
    )


def layers(page: Page) -> Table | None:
    """Heads and neurons of every layer, for each size that occurs."""
    found = cut(page)
    dense = sizes(page.baseline)
    if not found or not dense:
        return None
    head = ["layer", page.baseline.stage, *(stage.stage for stage in found)]
    count = max(len(dense), *(len(sizes(stage)) for stage in found))
    rows = [
        [str(layer + 1), *(_size(sizes(stage), layer) for stage in (page.baseline, *found))]
        for layer in range(count)
    ]
    return Table("Heads / neurons of every layer", head, rows)


def cut(page: Page) -> list[Manifest]:
    """The trained stages whose layers are not those of the baseline."""
    dense = sizes(page.baseline)
    return [stage for stage in page.trained if sizes(stage) and sizes(stage) != dense]


def sizes(stage: Manifest) -> list[list[int]]:
    found: list[list[int]] = stage.metrics.get("model", {}).get("layers", [])
    return found


def _size(found: list[list[int]], layer: int) -> str:
    return " / ".join(map(str, found[layer])) if layer < len(found) else NONE


def training(page: Page) -> Table | None:
    head = ["stage", "steps", "best step", "chosen by", "its value", "n", "samples/s",
            "precision", "took, s"]  # fmt: skip
    rows = [_trained(page, stage) for stage in page.trained if "train" in stage.metrics]
    return Table("Training", head, rows) if rows else None


def _trained(page: Page, stage: Manifest) -> list[str]:
    facts = stage.metrics["train"]
    chooser = next((key for key in facts if key.startswith("select_")), "")
    evaluated = [entry for entry in page.histories.get(stage.stage, []) if "select_n" in entry]
    name = chooser.removeprefix("select_")
    return [
        stage.stage,
        *(str(facts.get(key, NONE)) for key in ("steps", "best_step")),
        name or NONE,
        words.score(name, facts.get(chooser)),
        str(evaluated[-1]["select_n"]) if evaluated else NONE,
        words.number(facts.get("samples_per_second")),
        facts.get("precision", NONE),
        f"{stage.seconds:.0f}",
    ]


def checks(page: Page) -> Table | None:
    """How far each IR is from the model that it was made of, row by row."""
    rows = [
        _check(stage, name, found)
        for stage in page.stages
        if stage.use == "ov_ir"
        for name, found in (stage.metrics.get("check") or {}).items()
    ]
    head = ["IR", "file", "n", "same prediction, %", "asked for, %", "largest difference",
            "mean difference", "matrix products"]  # fmt: skip
    note = "Differences of logits, to the PyTorch model of the stage that it was made of."
    return Table("Exports against their models", head, rows, note) if rows else None


def _check(stage: Manifest, name: str, found: dict[str, Any]) -> list[str]:
    products = ", ".join(f"{kind} {count}" for kind, count in found.get("matmuls", {}).items())
    return [
        stage.stage,
        name,
        str(found.get("rows", NONE)),
        words.score("accuracy", found.get("same")),
        words.score("accuracy", found.get("same_asked")),
        words.number(found.get("largest_difference")),
        words.number(found.get("mean_difference")),
        products or NONE,
    ]
