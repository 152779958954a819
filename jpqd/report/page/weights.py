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
    head = ["IR", "weights", "settings", "beside", "MB",
            f"perplexity {INTERVAL}", f"ratio {INTERVAL}", f"KL {INTERVAL}",
            "KL, 99th percentile", "same best token, %", "RMS change of p, %", "n"]  # fmt: skip
    note = (
        "Ratio, KL and the best token: against the IR beside which it stands, in f32, token by "
        "token. Settings: accurate is f32 beside the weights; deployed is what the device does by "
        "itself. Intervals are over windows of the text."
    )
    texts = {"IR", "weights", "settings", "beside"}
    return Table("Weights in fewer bits", head, rows, note, texts) if rows else None


def _rows(stage: Manifest) -> Iterator[list[str]]:
    windows = [figures for figures in stage.splits.values() if "perplexity" in figures]
    for number, figures in enumerate(windows):
        yield [
            stage.stage,
            _how(stage),
            "deployed" if number else "accurate",
            _beside(stage) if "kl" in figures else NONE,
            words.megabytes(stage.deployed_bytes or 0),
            _estimate(figures, "perplexity", "#.4g"),
            _estimate(figures, "ratio", ".3f"),
            _estimate(figures, "kl", "#.3g"),
            words.number(figures.get("kl_p99")),
            words.score("accuracy", figures.get("same_top1")),
            NONE if "rms_change" not in figures else f"{100 * figures['rms_change']:.2f}",
            f"{figures['n']:,}",
        ]


def sentence(stage: Manifest) -> str:
    """Say how far an IR is from the one beside it, as devices run it; nothing of other stages."""
    figures = deployed(stage)
    if "kl" not in figures:
        return ""
    return (
        f"{stage.stage} has a perplexity of {_estimate(figures, 'perplexity', '#.4g')}, "
        f"{_estimate(figures, 'ratio', '.3f')} times that of {_beside(stage)}, and a KL of "
        f"{_estimate(figures, 'kl', '#.3g')} to it (95%, as deployed, n {figures['n']:,} tokens)."
    )


def _beside(stage: Manifest) -> str:
    """Name the IR that it was measured beside."""
    options = stage.inputs.get("stage", {})
    return str(options.get("beside") or next(iter(options.get("needs", ())), NONE))


def deployed(stage: Manifest) -> dict[str, Any]:
    """Return the figures of an IR with the device's own settings; none of other stages."""
    windows = [figures for figures in stage.splits.values() if "perplexity" in figures]
    return windows[-1] if windows else {}


def answers(page: Page) -> Table | None:
    """Make the table of multiple choice."""
    rows = [
        [
            name.removesuffix(", questions"),
            f"{figures['n']:,}",
            words.score("accuracy", figures["accuracy"], figures["accuracy_95"]),
            words.score("accuracy", figures["accuracy_by_byte"], figures["accuracy_by_byte_95"]),
            words.difference("accuracy", _difference(figures)),
            words.number(figures.get("p")),
            words.score("accuracy", figures.get("same_answer")),
        ]
        for stage in page.stages
        if stage.use == "questions"
        for name, figures in stage.splits.items()
    ]
    head = ["IR", "n", f"accuracy, % {INTERVAL}", f"by byte, % {INTERVAL}",
            f"points {INTERVAL}", "McNemar p", "same answer, %"]  # fmt: skip
    note = (
        "The answer whose log-probability is the highest; by byte: divided by its length. Points, "
        "p and the same answer: against the first IR on the same questions."
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


def _estimate(figures: dict[str, Any], name: str, form: str) -> str:
    value = figures.get(name)
    if value is None:
        return NONE
    low, high = figures.get(f"{name}_95") or (None, None)
    inside = "" if low is None else f" [{low:{form}}, {high:{form}}]"
    return f"{value:{form}}{inside}"


def drawn(page: Page) -> Iterator[Chart]:
    """Draw the divergence of each IR against its size, and against the time of a token."""
    found = [one for one in _irs(page) if "kl" in next(iter(one.splits.values()), {})]
    sizes = [(one, (one.deployed_bytes or 0) / 1e6) for one in found]
    if found:
        yield _chart(sizes, "MB", "size", "How far each IR is from the one beside it, by its size")
    times = [(one, time) for one in found if (time := _next_token_ms(page, one.stage))]
    if times:
        title = "How far each IR is from the one beside it, by the time of a token"
        yield _chart(times, "ms for each next token, the faster runtime", "time", title)


def _next_token_ms(page: Page, stage: str) -> float | None:
    """Return the median of the benchmark's first measurement of next tokens."""
    known = page.bench.measurements if page.bench else []
    measured = next((one for one in known if one.workload.startswith("each of ")), None)
    if measured is None or page.bench is None:
        return None
    arms = [arm.name for arm in page.bench.arms if arm.stage == stage]
    latencies = [measured.arms[arm].latency_ms for arm in arms if arm in measured.arms]
    times = [one.p50.value for one in latencies if one and one.p50.value]
    return min(times, default=None)


def _chart(found: list[tuple[Manifest, float]], what: str, name: str, title: str) -> Chart:
    figure = svg.figure(3.4)
    axes = figure.add_subplot()
    points = []
    for place, (stage, x) in enumerate(found):
        figures = next(iter(stage.splits.values()))
        low, high = figures["kl_95"]
        spread = [[figures["kl"] - low], [high - figures["kl"]]] if low is not None else None
        axes.errorbar(
            x, figures["kl"], yerr=spread, linestyle="none", marker=svg.mark(place), markersize=6,
            color=svg.colour(place), label=stage.stage,
        )  # fmt: skip
        points.append((x, figures["kl"]))
    front = _front(points)
    axes.plot(*zip(*front, strict=True), color=svg.INK, linewidth=0.8, linestyle=":")
    axes.margins(x=0.08, y=0.12)
    charts.logarithmic(axes, both=True)
    axes.set(xlabel=f"{what} (logarithmic)", ylabel="KL (logarithmic)")
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    note = (
        "Lower and further left is better; nothing beats what lies on the dotted line in both. "
        "Bars are 95% intervals over windows of the text."
    )
    return Chart(title, svg.text(figure, f"weights-{name}", title, note), note)


def _front(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return the points that no other one beats in both, from left to right."""
    found: list[tuple[float, float]] = []
    for x, y in sorted(points):
        if not found or y < found[-1][1]:
            found.append((x, y))
    return found
