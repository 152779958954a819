"""The IRs of a decoder: size, and how far each is from the one whose weights are whole."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from jpqd.core.manifest import Manifest
from jpqd.report import words
from jpqd.report.page import charts, svg
from jpqd.report.page.charts import Chart
from jpqd.report.page.gather import Page
from jpqd.report.page.tables import Table
from jpqd.report.words import INTERVAL, NONE

_LM = "causal_lm"


def _irs(page: Page) -> list[Manifest]:
    return [one for one in page.stages if one.kind == "ir" and one.metrics.get("task") == _LM]


def table(page: Page) -> Table | None:
    rows = [row for stage in _irs(page) for row in _rows(stage)]
    head = ["IR", "weights", "settings", "MB", f"perplexity {INTERVAL}", f"ratio {INTERVAL}",
            f"KL {INTERVAL}", "KL, 99th percentile", "same best token, %",
            "RMS change of p, %", "n"]  # fmt: skip
    note = (
        "Ratio, KL and the best token: against the IR whose weights are whole, in f32, token by "
        "token. Settings: accurate is f32 beside the weights; deployed is what the device does by "
        "itself. Intervals are over windows of the text."
    )
    texts = {"IR", "weights", "settings"}
    return Table("Weights in fewer bits", head, rows, note, texts) if rows else None


def _rows(stage: Manifest) -> Iterator[list[str]]:
    windows = [figures for figures in stage.splits.values() if "perplexity" in figures]
    for number, figures in enumerate(windows):
        yield [
            stage.stage,
            _how(stage),
            "deployed" if number else "accurate",
            words.megabytes(stage.deployed_bytes or 0),
            _estimate(figures, "perplexity"),
            _estimate(figures, "ratio"),
            _estimate(figures, "kl"),
            words.number(figures.get("kl_p99")),
            words.score("accuracy", figures.get("same_top1")),
            NONE if "rms_change" not in figures else f"{100 * figures['rms_change']:.2f}",
            f"{figures['n']:,}",
        ]


def answers(page: Page) -> Table | None:
    """Make the table of multiple choice."""
    rows = [
        [
            stage.stage,
            f"{figures['n']:,}",
            words.score("accuracy", figures["accuracy"], figures["accuracy_95"]),
            words.score("accuracy", figures["accuracy_by_byte"], figures["accuracy_by_byte_95"]),
            words.difference("accuracy", _difference(figures)),
            words.number(figures.get("p")),
            words.score("accuracy", figures.get("same_answer")),
        ]
        for stage in _irs(page)
        if (figures := stage.splits.get("questions"))
    ]
    head = ["IR", "n", f"accuracy, % {INTERVAL}", f"by byte, % {INTERVAL}",
            f"points {INTERVAL}", "McNemar p", "same answer, %"]  # fmt: skip
    note = (
        "The answer whose log-probability is the highest; by byte: divided by its length. Points, "
        "p and the same answer: against the whole IR on the same questions."
    )
    return Table("Multiple choice", head, rows, note, {"IR"}) if rows else None


def _difference(figures: dict[str, Any]) -> tuple[float, float, float] | None:
    if "difference" not in figures:
        return None
    low, high = figures["difference_95"]
    return figures["difference"], low, high


def _how(stage: Manifest) -> str:
    made: dict[str, Any] = stage.metrics.get("weights") or {}
    if not made:
        return "whole"
    options = stage.inputs.get("stage", {})
    parts = [made["format"], made["method"] if made["format"] != "int8" else ""]
    parts += [f"groups of {size}" if (size := options.get("group_size")) else ""]
    parts += [f"{ratio:.0%} in 4 bits" if (ratio := made.get("ratio")) is not None else ""]
    parts += ["embedding too" if options.get("embedding") == "int4" else ""]
    return ", ".join(part for part in parts if part)


def _estimate(figures: dict[str, Any], name: str) -> str:
    value = figures.get(name)
    if value is None:
        return NONE
    low, high = figures.get(f"{name}_95") or (None, None)
    inside = "" if low is None else f" [{low:.4g}, {high:.4g}]"
    return f"{value:.4g}{inside}"


def drawn(page: Page) -> Iterator[Chart]:
    """Draw the divergence of each IR against its size."""
    found = [one for one in _irs(page) if "kl" in next(iter(one.splits.values()), {})]
    if not found:
        return
    figure = svg.figure(3.4)
    axes = figure.add_subplot()
    for place, stage in enumerate(found):
        figures = next(iter(stage.splits.values()))
        low, high = figures["kl_95"]
        spread = [[figures["kl"] - low], [high - figures["kl"]]] if low is not None else None
        axes.errorbar(
            (stage.deployed_bytes or 0) / 1e6, figures["kl"], yerr=spread, linestyle="none",
            marker=svg.mark(place), markersize=6, color=svg.colour(place), label=stage.stage,
        )  # fmt: skip
    axes.margins(x=0.08, y=0.12)
    axes.set_yscale("log")
    charts.logarithmic(axes)
    axes.set(xlabel="MB (logarithmic; left is smaller)", ylabel="KL (logarithmic)")
    axes.legend(loc="upper right")
    title = "How far each IR is from the whole one, against its size"
    note = "Lower and further left is better. Bars are 95% intervals over windows of the text."
    yield Chart(title, svg.text(figure, "weights", title, note), note)
