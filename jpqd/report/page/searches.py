"""The searches of a run: what they tried, what shall stay, what was predicted and measured."""

from __future__ import annotations

from collections.abc import Iterator
from math import exp

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from jpqd.core.compression_plan import Figures, Plan, hypervolume
from jpqd.report import words
from jpqd.report.page import charts, deployed, svg
from jpqd.report.page.charts import Chart
from jpqd.report.page.gather import Page
from jpqd.report.page.tables import Table
from jpqd.report.words import INTERVAL, NONE


def drawn(page: Page) -> Iterator[Chart]:
    if page.plans:
        yield _tried(page)
        yield _progress(page)
    for number, (stage, plan) in enumerate(page.plans.items(), 1):
        title = f"What shall stay of every layer: {stage}"
        note = f"Pale: the model of {plan.model}. Solid: the plan, {_reached(plan)}."
        left, whole = plan.chosen.layers, plan.whole.layers
        yield charts.left_of_layers(left, whole, f"plan-{number}", title, note)


def _reached(plan: Plan) -> str:
    found = plan.chosen
    return (
        f"{found.p50_ms:.3g} ms by the latency table, {plan.speedup:.3g} times as fast as the "
        f"whole in INT8, {found.size_mb:.3g} MB"
    )


def _tried(page: Page) -> Chart:
    """Draw every cut model that was run: the main figure against the time by the table."""
    metric = next(iter(page.plans.values())).metric
    scale, _ = words.scale_of(metric)
    figure = svg.figure(3.4)
    axes = figure.add_subplot()
    for place, (stage, plan) in enumerate(page.plans.items()):
        found = plan.tried or plan.front
        axes.plot(
            [one.p50_ms for one in found], [_score(one, scale) for one in found],
            linestyle="none", marker=svg.mark(place), markersize=6, alpha=0.8,
            color=svg.colour(place), label=f"{stage} ({plan.strategy}), {len(found)}",
        )  # fmt: skip
        _ring(axes, plan.chosen, scale)
    whole = next(iter(page.plans.values())).whole
    axes.plot(whole.p50_ms, _score(whole, scale), "*", markersize=11, color=svg.INK, label="whole")
    axes.margins(x=0.08, y=0.12)
    charts.logarithmic(axes)
    axes.set(xlabel="p50 by the latency table, ms (logarithmic; left is faster)",
             ylabel=words.titled(metric))  # fmt: skip
    axes.legend(loc="lower right")
    title = "What the searches tried"
    rows = ", ".join(sorted({str(plan.rows) for plan in page.plans.values()}))
    note = (
        f"Each mark is a model that was cut, solved again and run, not trained: {metric} on {rows} "
        "rows held out of train. A ring marks what was chosen."
    )
    return Chart(title, svg.text(figure, "searches", title, note), note)


def _score(found: Figures, scale: float) -> float:
    return (found.score or 0.0) * scale


def _ring(axes: Axes, chosen: Figures, scale: float) -> None:
    axes.plot(chosen.p50_ms, _score(chosen, scale), "o", markersize=12, markerfacecolor="none",
              markeredgecolor=svg.INK)  # fmt: skip


def _progress(page: Page) -> Chart:
    """Draw how much each search had found after each evaluation."""
    figure = svg.figure(2.4)
    axes = figure.add_subplot()
    for place, (stage, plan) in enumerate(page.plans.items()):
        found = plan.tried or plan.front
        dense_ms = plan.speedup * plan.chosen.p50_ms
        points = [(dense_ms / one.p50_ms, exp(-(one.kl or 0.0))) for one in found]
        areas = [hypervolume(points[:count]) for count in range(1, len(points) + 1)]
        axes.plot(range(1, len(areas) + 1), areas, color=svg.colour(place), label=stage,
                  marker=svg.mark(place), markersize=4)  # fmt: skip
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.set(xlabel="evaluations", ylabel="hypervolume")
    axes.legend(loc="lower right")
    svg.quiet(axes, "y")
    title = "What the searches had found after each evaluation"
    note = (
        "Hypervolume: the area of (speedup, exp(-KL)) that is reached, above (1, 0). One seed each."
    )
    return Chart(title, svg.text(figure, "progress", title, note), note)


def table(page: Page) -> Table | None:
    """Set what was predicted beside what the benchmark measured of the trained models."""
    rows = [row for stage, plan in page.plans.items() for row in _rows(page, stage, plan)]
    head = ["search", "strategy", "target", "evaluations", "IR", "p50, ms, predicted",
            f"p50, ms, measured {INTERVAL}", "ratio to INT8, predicted",
            f"ratio to INT8, measured {INTERVAL}"]  # fmt: skip
    texts = {"search", "strategy", "target", "IR"}
    note = "Predicted: by the latency table. Ratio to INT8: to the whole model in INT8."
    return Table("Targets, predicted and measured", head, rows, note, texts) if rows else None


def _rows(page: Page, stage: str, plan: Plan) -> Iterator[list[str]]:
    asked = ", ".join(f"{name} {value:g}" for name, value in plan.target.items())
    start = [stage, plan.strategy, asked, str(plan.evaluations)]
    predicted = [f"{plan.chosen.p50_ms:.3g}", f"{plan.speedup:.3g}"]
    reference = deployed.whole(page, "INT8")
    made = {name for name, config in page.recipe["stages"].items() if _follows(config, stage)}
    irs = [one for one in deployed.every(page) if made.intersection(one.stage.made_of) and one.arm]
    for one in irs:
        latency = page.latency.arms[one.name].latency_ms if page.latency else None
        measured = words.measured(latency.p50) if latency else NONE
        ratio = words.ratio(deployed.speed(page, one, reference)) if reference else NONE
        yield [*start, one.name, predicted[0], measured, predicted[1], ratio]
    if not irs:
        yield [*start, NONE, predicted[0], NONE, predicted[1], NONE]


def finals(page: Page) -> Iterator[Table]:
    """Set what the best of each search said before its training beside what they said after."""
    for stage, plan in page.plans.items():
        found = [one for one in plan.tried if one.final_kl is not None]
        if found:
            yield _finals(f"The finals of {stage}", plan, found)


def _finals(title: str, plan: Plan, found: list[Figures]) -> Table:
    metric = words.titled(plan.metric)
    head = ["finalist", "p50, ms, predicted", "MB", "KL", "KL, trained", metric,
            f"{metric}, trained"]  # fmt: skip
    scale, _ = words.scale_of(plan.metric)
    rows = [
        [
            str(number) + (", chosen" if one == plan.chosen else ""),
            f"{one.p50_ms:.3g}", f"{one.size_mb:.3g}", f"{one.kl:.4f}", f"{one.final_kl:.4f}",
            f"{_score(one, scale):.2f}", f"{(one.final_score or 0.0) * scale:.2f}",
        ]
        for number, one in enumerate(sorted(found, key=lambda one: one.kl or 0.0), 1)
    ]  # fmt: skip
    ranks = plan.finals_correlation
    said = f" Rank correlation of both KL (Spearman): {ranks:.2f}." if ranks is not None else ""
    note = f"On {plan.rows} rows held out of train: {metric}, and KL to the whole model.{said}"
    return Table(title, head, rows, note)


def _follows(config: dict[str, object], search: str) -> bool:
    """Say whether a stage of the recipe prunes by the plan of this search."""
    methods = config.get("methods")
    return isinstance(methods, list) and any(one.get("plan") == search for one in methods)
