"""The answers to noisy, other and negated texts, and how sure models are of them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from jpqd.core.manifest import Manifest, main_figure
from jpqd.report import words
from jpqd.report.page import svg
from jpqd.report.page.charts import Chart
from jpqd.report.page.gather import Page
from jpqd.report.page.tables import Table
from jpqd.report.words import INTERVAL, NONE

_NOISE = re.compile(r"noise ([\d.]+)%")


def _stages(page: Page) -> list[Manifest]:
    return [stage for stage in page.stages if stage.metrics.get("robustness")]


def _found(stage: Manifest) -> dict[str, dict[str, Any]]:
    """Return the figures by model and condition; the first model is the baseline."""
    found: dict[str, dict[str, Any]] = stage.metrics["robustness"]
    return found


def _metric(stage: Manifest) -> str:
    return main_figure(next(iter(_found(stage).values()))["clean"])


def found(page: Page) -> Iterator[Table]:
    for stage in _stages(page):
        yield _conditions(stage)
        if beyond := _beyond(stage):
            yield beyond
        if any("ece" in each["clean"] for each in _found(stage).values()):
            yield _sureness(stage)


def _conditions(stage: Manifest) -> Table:
    """Make a table of conditions: the baseline's figure, and the points of each other model."""
    models, metric = _found(stage), _metric(stage)
    base, *others = models
    head = [
        "texts",
        "n",
        f"{base} {INTERVAL}",
        *(f"{name}, {words.points(metric)} {INTERVAL}" for name in others),
    ]
    rows = []
    for condition in dict.fromkeys(name for each in models.values() for name in each):
        each = [models[name].get(condition) for name in models]
        known = next(figures for figures in each if figures)
        own, *more = (_cell(metric, figures) for figures in each)
        rows.append([condition, f"{known['n']:,}", own, *more])
    note = (
        f"{words.titled(metric)} of {base}, and how far each other model is from it on the same "
        "rows, paired. Noise: the share of words with a slip, the same slips for every model."
    )
    return Table(f"Robustness: {stage.stage}", head, rows, note, {"texts"})


def _cell(metric: str, figures: dict[str, Any] | None) -> str:
    if figures is None:
        return NONE
    if "difference" in figures:
        return _points(metric, figures, "difference")
    return words.score(metric, figures[metric], figures.get(f"{metric}_95"))


def _points(metric: str, figures: dict[str, Any], name: str) -> str:
    low, high = figures[f"{name}_95"]
    return words.difference(metric, (figures[name], low, high))


def _beyond(stage: Manifest) -> Table | None:
    """Make a table of what noise costs each model more than the baseline; none without noise."""
    models, metric = _found(stage), _metric(stage)
    base, *others = models
    rows = [
        [condition, *(_points(metric, models[name][condition], "beyond_clean") for name in others)]
        for condition in models[base]
        if others and "beyond_clean" in models[others[0]].get(condition, {})
    ]
    head = ["texts", *(f"{name}, {words.points(metric)} {INTERVAL}" for name in others)]
    note = (
        f"The difference to {base} under noise, less that on the clean rows: below zero, slips "
        "cost a model more than they cost that one."
    )
    title = f"Slips, beyond what is lost without them: {stage.stage}"
    return Table(title, head, rows, note, {"texts"}) if rows else None


def _sureness(stage: Manifest) -> Table:
    rows = []
    for name, each in _found(stage).items():
        clean = each["clean"]
        wrong, right = clean.get("became_wrong"), clean.get("became_right")
        rows.append([
            name,
            words.score("accuracy", clean["ece"], clean["ece_95"]),
            f"{clean['temperature']:.2f}",
            words.score("accuracy", clean["ece_mended"], clean["ece_mended_95"]),
            words.score("accuracy", clean.get("same_answer"), clean.get("same_answer_95")),
            words.number(clean.get("js_distance")),
            NONE if wrong is None else f"{wrong} and {right}",
            words.number(clean.get("mcnemar_p")),
        ])  # fmt: skip
    head = ["model", f"calibration error, % {INTERVAL}", "temperature",
            f"error with it, % {INTERVAL}", f"same answer, % {INTERVAL}", "JS distance",
            "became wrong and right", "McNemar p"]  # fmt: skip
    note = (
        "Calibration error: how far a model's own probability is from how often it is right. The "
        "temperature that would mend it is fitted on the rows that choose a checkpoint. The same "
        "answer and what follows: against the first model, whether it is right or wrong."
    )
    return Table(f"Calibration and loyalty: {stage.stage}", head, rows, note, {"model"})


def drawn(page: Page) -> Iterator[Chart]:
    for number, stage in enumerate(_stages(page), 1):
        if any(_NOISE.match(name) for name in next(iter(_found(stage).values()))):
            yield _noise(stage, number)
        if any(stage.metrics["diagrams"].values()):
            yield _reliability(stage, number)


def _noise(stage: Manifest, number: int) -> Chart:
    metric = _metric(stage)
    scale, _ = words.scale_of(metric)
    figure = svg.figure(3.0)
    axes = figure.add_subplot()
    for place, (name, each) in enumerate(_found(stage).items()):
        points = [(0.0, each["clean"])]
        points += [(float(m[1]), f) for one, f in each.items() if (m := _NOISE.match(one))]
        shares, values = zip(*((share, scale * f[metric]) for share, f in points), strict=True)
        axes.plot(shares, values, marker=svg.mark(place), color=svg.colour(place), label=name)
    axes.set(xlabel="words with a slip, %", ylabel=words.titled(metric))
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    title = f"Slips: {stage.stage}"
    note = "The same slips for every model. A line that falls faster is less robust."
    return Chart(title, svg.text(figure, f"slips-{number}", title, note), note)


def _reliability(stage: Manifest, number: int) -> Chart:
    figure = svg.figure(3.0)
    axes = figure.add_subplot()
    axes.plot([0, 100], [0, 100], color=svg.INK, linewidth=0.8, linestyle=":")
    for place, (name, bins) in enumerate(stage.metrics["diagrams"].items()):
        sure, right = ([100 * one[key] for one in bins] for key in ("confidence", "accuracy"))
        axes.plot(sure, right, marker=svg.mark(place), color=svg.colour(place), label=name)
    axes.set(xlabel="how sure the model is, %", ylabel="how often it is right, %")
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    title = f"Reliability: {stage.stage}"
    note = "Below the dotted line a model is surer than it should be. Bins with few rows scatter."
    return Chart(title, svg.text(figure, f"reliability-{number}", title, note), note)
