"""The HTML page: one file with its style and charts, which needs no network."""

from __future__ import annotations

from importlib import resources

from jinja2 import Environment, StrictUndefined

from jpqd import __version__
from jpqd.report.page import (
    banner,
    charts,
    classes,
    deployed,
    facts,
    headline,
    robust,
    searches,
    speed,
    svg,
    tables,
    tradeoff,
    weights,
    widths,
    worth,
)
from jpqd.report.page.charts import Chart
from jpqd.report.page.gather import Page


def render(page: Page) -> str:
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    template = environment.from_string(_shipped("page.html.j2"))
    with svg.style():
        drawn = _charts(page)
    return template.render(
        page=page,
        warnings=list(banner.warnings(page)),
        headline=headline.sentences(page),
        tiles=headline.tiles(page),
        accuracies=tables.ACCURACIES,
        notes=list(headline.notes(page)),
        missing_bench=headline.missing_bench(page),
        tables=_tables(page),
        charts=drawn,
        recipe=facts.recipe(page),
        style=_shipped("page.css"),
        version=__version__,
    )


def _shipped(name: str) -> str:
    return (resources.files("jpqd.report.page") / name).read_text(encoding="utf-8")


def _tables(page: Page) -> dict[str, object]:
    return {
        "deployed": deployed.table(page),
        "classes": list(classes.found(page)),
        "stages": tables.stages(page),
        "differences": tables.differences(page),
        "speed": list(speed.measurements(page.bench)) if page.bench else [],
        "arms": speed.arms(page.bench) if page.bench else None,
        "layers": tables.layers(page),
        "searches": searches.table(page),
        "finals": list(searches.finals(page)),
        "weights": weights.table(page),
        "answers": weights.answers(page),
        "robust": list(robust.found(page)),
        "worth": list(worth.found(page)),
        "trials": list(worth.trials(page)),
        "widths": list(widths.found(page)),
        "parts": list(widths.trials(page)),
        "training": tables.training(page),
        "checks": tables.checks(page),
        "environment": facts.environment(page),
        "host": facts.host(page.bench) if page.bench else None,
    }


def _charts(page: Page) -> dict[str, list[Chart]]:
    return {
        "speed": [chart for chart in (tradeoff.chart(page), charts.distributions(page)) if chart],
        "layers": list(charts.layers(page)),
        "searches": list(searches.drawn(page)),
        "weights": list(weights.drawn(page)),
        "robust": list(robust.drawn(page)),
        "worth": list(worth.drawn(page)),
        "widths": list(widths.drawn(page)),
        "curves": list(charts.curves(page)),
    }
