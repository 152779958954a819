"""The report's charts, drawn from the figures in its tables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from jpqd.core.manifest import Manifest
from jpqd.report import words
from jpqd.report.page import svg, tables
from jpqd.report.page.gather import Page

_STEPS = [1, 2, 5, 10]
_LETTER, _LINE = 5.2, 12.0
"""The width of a letter and the height of a line, in points."""


@dataclass(frozen=True)
class Chart:
    title: str
    svg: Markup
    note: str


def logarithmic(axes: Axes, *, both: bool = False) -> None:
    axes.set_xscale("log")
    if both:
        axes.set_yscale("log")
    for axis in (axes.xaxis, axes.yaxis) if both else (axes.xaxis,):
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.set_minor_formatter(NullFormatter())


def distributions(page: Page) -> Chart | None:
    """Draw a histogram for each arm on one logarithmic axis."""
    times = _times(page)
    if not times or page.latency is None:
        return None
    every = np.concatenate(list(times.values()))
    bins = np.geomspace(every.min() * 0.95, every.max() * 1.05, 81)
    drawn = svg.figure(0.9 + 0.55 * len(times))
    axes = drawn.add_subplot()
    for place, values in enumerate(times.values()):
        _ridge(axes, -place, values, bins, svg.colour(place))
    axes.set_yticks([0.3 - place for place in range(len(times))], labels=_names_with_n(times))
    logarithmic(axes)
    svg.quiet(axes, "x")
    axes.set(xlabel="latency, ms (logarithmic)")
    title = f"Latency distributions: {page.latency.workload}"
    note = "Height: share of an arm's requests. The line marks the median. n counts requests."
    medians = "; ".join(
        f"{name}: median {np.median(values):.3g} ms of n {len(values)}"
        for name, values in times.items()
    )
    return Chart(title, svg.text(drawn, "latencies", title, f"{note} {medians}"), note)


def _times(page: Page) -> dict[str, np.ndarray]:
    """Return the raw times of the page's main measurement."""
    latency, bench, samples = page.latency, page.bench, page.samples
    if latency is None or bench is None or samples is None or latency.mode != "latency":
        return {}
    mine = samples["measurement"] == bench.measurements.index(latency)
    names = [str(name) for name in samples["arms"]]
    times = {
        name: samples["milliseconds"][mine & (samples["arm"] == place)]
        for place, name in enumerate(names)
    }
    return {name: values for name, values in times.items() if len(values)}


def _ridge(axes: Axes, floor: float, values: np.ndarray, bins: np.ndarray, colour: str) -> None:
    counts, _ = np.histogram(values, bins)
    heights = floor + 0.75 * np.repeat(counts / counts.max(), 2)
    edges = np.repeat(bins, 2)[1:-1]
    axes.fill_between(edges, floor, heights, color=colour, alpha=0.55, linewidth=0)
    axes.vlines(float(np.median(values)), floor, floor + 0.8, color=svg.INK, linewidth=1.4)


def _names_with_n(times: dict[str, np.ndarray]) -> list[str]:
    return [f"{name}\nn {len(values)}" for name, values in times.items()]


def layers(page: Page) -> Iterator[Chart]:
    """Draw, for each pruned stage, what is left of every layer in front of the whole layer."""
    whole = tables.dense(page)
    if whole is not None:
        for number, stage in enumerate(tables.cut(page), 1):
            yield _layers(whole, stage, f"layers-{number}")


def _layers(whole: Manifest, stage: Manifest, name: str) -> Chart:
    title = f"What is left of every layer: {stage.stage}"
    note = f"Pale: the whole model. Solid: {stage.stage}, {_share_left(stage)}."
    return left_of_layers(tables.sizes(stage), tables.sizes(whole), name, title, note)


def left_of_layers(
    left: Sequence[tuple[int, int]],
    dense: Sequence[tuple[int, int]],
    name: str,
    title: str,
    note: str,
) -> Chart:
    """Draw the heads and neurons that are left, in front of those that were there."""
    before = [dense[min(layer, len(dense) - 1)] for layer in range(len(left))]
    drawn = svg.figure(1.0 + 0.24 * len(left))
    for place, what in enumerate(("heads", "neurons")):
        axes = drawn.add_subplot(1, 2, place + 1)
        _bars(axes, [b[place] for b in before], [k[place] for k in left], svg.colour(place))
        total, kept = sum(b[place] for b in before), sum(k[place] for k in left)
        axes.set_title(f"{kept:,} of {total:,} {what}")
        axes.set_ylabel("layer" if place == 0 else "")
    spoken = "; ".join(
        f"layer {layer + 1}: {heads} heads, {neurons} neurons"
        for layer, (heads, neurons) in enumerate(left)
    )
    return Chart(title, svg.text(drawn, name, title, spoken), note)


def _share_left(stage: Manifest) -> str:
    share = stage.model.encoder_share if stage.model else None
    return f"{words.share(share)} of the {words.body(stage)}'s weights"


def _bars(axes: Axes, before: Sequence[int], left: Sequence[int], colour: str) -> None:
    places = np.arange(1, len(left) + 1)
    axes.barh(places, before, height=0.7, color=colour, alpha=0.22)
    axes.barh(places, left, height=0.7, color=colour)
    for place, count in zip(places, left, strict=True):
        axes.annotate(f"{count:,}", (count, place), xytext=(3, 0), textcoords="offset points",
                      va="center", fontsize=8)  # fmt: skip
    axes.set_yticks(places)
    axes.invert_yaxis()
    axes.set_xlim(0, max([*before, *left, 1]) * 1.12)
    axes.xaxis.set_major_locator(MaxNLocator(4, steps=_STEPS, integer=True))
    svg.quiet(axes, "x")


def curves(page: Page) -> Iterator[Chart]:
    """Draw the training of each trained stage."""
    for number, stage in enumerate(page.trained, 1):
        if history := page.histories.get(stage.stage):
            yield _curves(stage, history, f"training-{number}")


def _curves(stage: Manifest, history: list[dict[str, Any]], name: str) -> Chart:
    facts = stage.training or {}
    chooser = next((key for key in facts if key.startswith("select_")), "select_accuracy")
    metric = chooser.removeprefix("select_")
    scale, _ = words.scale_of(metric)
    panels = [("loss", "loss", 1.0), (chooser, words.titled(metric), scale),
              ("kept", f"{words.body(stage)} kept, %", 100.0)]  # fmt: skip
    panels = [panel for panel in panels if any(panel[0] in entry for entry in history)]
    drawn = svg.figure(2.1)
    for place, (key, label, factor) in enumerate(panels):
        axes = drawn.add_subplot(1, len(panels), place + 1)
        points = [(e["epoch"], e[key] * factor, e.get("step")) for e in history if key in e]
        _curve(axes, points, svg.colour(place), facts.get("best_step") if key == chooser else None)
        axes.set(title=label, xlabel="epoch")
    title = f"Training of {stage.stage}"
    n = next((entry["select_n"] for entry in history if "select_n" in entry), None)
    chosen = (
        f"; {metric} on n = {n} rows that choose. The ring marks the step that was kept."
        if n
        else ""
    )
    note = f"{facts.get('steps', words.NONE)} steps{chosen}"
    return Chart(title, svg.text(drawn, name, title, note), note)


def _curve(axes: Axes, points: Sequence[tuple[float, float, Any]], colour: str, best: Any) -> None:
    epochs, values, _ = zip(*points, strict=True)
    few = "o" if len(points) < 12 else ""
    axes.plot(epochs, values, color=colour, linewidth=1.4, marker=few, markersize=3.5)
    for epoch, value, step in points:
        if best is not None and step == best:
            axes.plot(epoch, value, "o", markersize=9, markerfacecolor="none",
                      markeredgecolor=svg.INK)  # fmt: skip
    axes.xaxis.set_major_locator(MaxNLocator(4, steps=_STEPS))
    svg.quiet(axes, "y")
