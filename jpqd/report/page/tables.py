"""The report's tables as text: the page and the Markdown show the same cells."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from jpqd.core.manifest import Manifest
from jpqd.report import words
from jpqd.report.page.gather import Page
from jpqd.report.words import INTERVAL, NONE

_WORDS = {"measured on", "answers of", "precision", "weights", "backend", "arm", "file",
          "chosen by", "matrix products", ""}  # fmt: skip


@dataclass(frozen=True)
class Table:
    """A table whose first column names the rows."""

    title: str
    head: list[str]
    rows: list[list[str]]
    note: str = ""
    texts: set[str] = field(default_factory=lambda: _WORDS)
    hints: dict[str, str] = field(default_factory=dict)
    """A few words on a column, below its head."""

    def is_number(self, column: int) -> bool:
        return column > 0 and self.head[column] not in self.texts


def stages(page: Page) -> Table:
    """Make the table of all stages, each with the accuracy that it measured itself."""
    head = [
        "stage", "answers of", "measured on", "n", f"{words.titled(page.metric)} {INTERVAL}",
        f"{words.points(page.metric)} {INTERVAL}", "file, MB", "parameters",
        f"{words.body(page.baseline)} kept", "weights",
    ]  # fmt: skip
    rows = [row for stage in page.stages for row in _stage(page, stage)]
    return Table("Stages", head, rows, _stages_note(page))


def _stage(page: Page, stage: Manifest) -> Iterator[list[str]]:
    """Yield a row for each split that was measured."""
    facts = stage.model
    splits = list(stage.splits.items()) or [(NONE, {})]
    for split, figures in splits:
        yield [
            stage.stage,
            _measured_as(stage),
            split,
            str(figures.get("n", NONE)),
            words.score(page.metric, figures.get(page.metric), figures.get(f"{page.metric}_95")),
            _difference(page, stage) if split == splits[0][0] else NONE,
            words.megabytes(stage.deployed_bytes),
            f"{facts.parameters:,}" if facts else NONE,
            words.share(facts.encoder_share if facts else None),
            facts.precision if facts else NONE,
        ]


def _measured_as(stage: Manifest) -> str:
    """Name what answered the rows."""
    precision = stage.model.precision if stage.model else "FP32"
    if stage.kind == "ir":
        return "OpenVINO, f32" if precision == "FP32" else f"OpenVINO, {precision}"
    if stage.use in ("lm_eval", "questions"):
        return "OpenVINO, by lm-eval" if stage.use == "lm_eval" else "OpenVINO"
    return "PyTorch, f32" if precision == "FP32" else f"PyTorch, {precision} simulated"


def _difference(page: Page, stage: Manifest) -> str:
    if stage is page.baseline:
        return "baseline"
    row = page.difference(stage.stage)
    return words.difference(page.metric, row.difference if row else None)


def _stages_note(page: Page) -> str:
    return (
        f"{words.points(page.metric).capitalize()}: to {page.baseline.stage} on the same rows, "
        "paired. File: weights and graph; a quantized stage is stored in f32 until it is exported."
    )


ACCURACIES = (
    "PyTorch: the trained stage. INT8 simulated: values are rounded as INT8 would, and multiplied "
    "in f32.",
    "OpenVINO: the exported IR as its check compiled it, in f32 where it is not quantized.",
    "The first table and the benchmark: the IR in the precision that this processor chose.",
)
"""A sentence for each accuracy that one model has."""


def differences(page: Page) -> Table | None:
    result = page.comparison
    if result is None:
        return None
    metric, order = result.metric, [stage.stage for stage in page.stages]
    same = words.is_percent(metric) or metric == "log_likelihood"
    rows = [
        [
            row.stage,
            str(row.n),
            words.score(metric, row.value),
            words.difference(metric, row.difference) if row.difference else "baseline",
            NONE if row.mcnemar_p is None else f"{row.mcnemar_p:.3g}",
            words.score("accuracy" if same else metric, row.agreement, row.agreement_95),
        ]
        for row in sorted(result.stages, key=lambda row: order.index(row.stage))
    ]
    vectors = page.recipe["task"].get("use") == "embedding"
    agreement = "mean cosine to it" if vectors else "correlation with it"
    agreement = "same answer, %" if same else agreement
    head = ["stage", "n", words.titled(metric), f"{words.points(metric)} {INTERVAL}",
            "McNemar p", agreement]  # fmt: skip
    note = f"On {result.split}, the same rows as {result.baseline}; intervals over rows."
    return Table(f"Differences to {result.baseline}", head, rows, note)


def layers(page: Page) -> Table | None:
    """Make the table of heads and neurons of every layer; None where nothing was pruned."""
    smaller, whole = cut(page), dense(page)
    if not smaller or whole is None:
        return None
    columns = [whole, *smaller]
    head = ["layer", "whole", *(stage.stage for stage in smaller)]
    rows = [
        [str(layer + 1), *(_size(sizes(stage), layer) for stage in columns)]
        for layer in range(max(len(sizes(stage)) for stage in columns))
    ]
    return Table("Heads / neurons of every layer", head, rows)


def cut(page: Page) -> list[Manifest]:
    """Return the trained stages with smaller layers than the whole model's."""
    whole = dense(page)
    if whole is None:
        return []
    return [stage for stage in page.trained if sizes(stage) and sizes(stage) != sizes(whole)]


def share(stage: Manifest) -> float:
    """Return the share of the encoder's weights that is left; 1 where a manifest has none."""
    share = stage.model.encoder_share if stage.model else None
    return 1.0 if share is None else share


def dense(page: Page) -> Manifest | None:
    """Return a stage with every head and neuron: the baseline where its size is known."""
    for stage in (page.baseline, *page.trained):
        if sizes(stage) and share(stage) == 1:
            return stage
    return None


def sizes(stage: Manifest) -> list[tuple[int, int]]:
    return stage.model.layers if stage.model else []


def _size(layers: list[tuple[int, int]], layer: int) -> str:
    return " / ".join(map(str, layers[layer])) if layer < len(layers) else NONE


def training(page: Page) -> Table | None:
    head = ["stage", "steps", "best step", "chosen by", "its value", "n", "samples/s",
            "precision", "weights that train", "peak memory, MB", "took, s"]  # fmt: skip
    rows = [_trained(page, stage) for stage in page.trained if stage.training]
    return Table("Training", head, rows) if rows else None


def _trained(page: Page, stage: Manifest) -> list[str]:
    facts = stage.training or {}
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
        *(_count(facts.get(key)) for key in ("trainable_parameters", "peak_memory_mb")),
        f"{stage.seconds:.0f}",
    ]


def _count(number: int | None) -> str:
    return NONE if number is None else f"{number:,}"


def checks(page: Page) -> Table | None:
    """Make the table of differences between each IR and its model, row by row."""
    rows = [
        _check(stage, name, facts)
        for stage in page.stages
        if stage.kind == "ir"
        for name, facts in stage.checks.items()
    ]
    head = ["IR", "file", "n", "same prediction, %", "asked for, %", "largest difference",
            "mean difference", "matrix products"]  # fmt: skip
    note = "Differences of logits, to the PyTorch model of the stage that it was made of."
    return Table("Exports against their models", head, rows, note) if rows else None


def _check(stage: Manifest, name: str, facts: dict[str, Any]) -> list[str]:
    products = ", ".join(f"{kind} {count}" for kind, count in facts.get("matmuls", {}).items())
    return [
        stage.stage,
        name,
        str(facts.get("rows", NONE)),
        words.score("accuracy", facts.get("same")),
        words.score("accuracy", facts.get("same_asked")),
        words.number(facts.get("largest_difference")),
        words.number(facts.get("mean_difference")),
        products or NONE,
    ]
