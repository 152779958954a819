"""One model at every number of bits: a table, and the bytes of its parts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from jpqd.core.bench_result import Estimate
from jpqd.report import words
from jpqd.report.page import svg
from jpqd.report.page.charts import Chart
from jpqd.report.page.gather import Page
from jpqd.report.page.tables import Table
from jpqd.report.words import INTERVAL, NONE

_MANY = 0.25
"""The share of disturbed blocks from which times say so."""


def _stages(page: Page) -> Iterator[tuple[str, dict[str, Any]]]:
    for stage in page.stages:
        if made := stage.metrics.get("bit_widths"):
            yield stage.stage, made


def found(page: Page) -> Iterator[Table]:
    for name, made in _stages(page):
        yield _variants(name, made)


def trials(page: Page) -> Iterator[Table]:
    for name, made in _stages(page):
        yield _parts(name, made)


def _variants(name: str, made: dict[str, Any]) -> Table:
    metric = made["metric"]
    head = [
        "weights", "multiplies", "MB", "times smaller", "memory, MB", f"p50, ms {INTERVAL}",
        f"speedup {INTERVAL}", "gain", f"{words.titled(metric)} {INTERVAL}",
        f"{words.points(metric)} {INTERVAL}", made["measure"], "efficiency",
    ]  # fmt: skip
    rows = [list(_row(metric, each, len(head))) for each in made["variants"]]
    busy = made["disturbed"] > _MANY
    warning = f" Other programs ran in {made['disturbed']:.0%} of the time." if busy else ""
    note = (
        f"{made['rows']:,} held-out rows, of which {made['timed']} are timed, one at a time; "
        f"{made['threads']} threads of "
        f"{made['processor']}; {made['blocks']} interleaved blocks.{warning} Memory: the most that "
        f"a fresh process took. Speedup, points and {made['measure']}: against f32. Efficiency: "
        f"{made['formula']}. Fewer than 16 bits run in buckets of lengths, others with any length, "
        "as shape: auto."
    )
    texts = {"weights", "multiplies", "gain"}
    return Table(f"At every number of bits: {name}", head, rows, note, texts)


def _row(metric: str, each: dict[str, Any], columns: int) -> Iterator[str]:
    yield each["name"]
    if "refused" in each:
        yield f"does not run here: {each['refused']}"
        yield from [NONE] * (columns - 2)
        return
    yield each["runs_as"]
    yield words.megabytes(each["bytes"])
    yield f"{each['smaller']:.2f}"
    yield words.number(each["peak_mb"])
    yield words.measured(_estimate(each["p50_ms"]))
    yield words.ratio(_estimate(each["speedup"]))
    yield each["gain"] or "baseline"
    yield words.score(metric, each[metric], each.get(f"{metric}_95"))
    yield _difference(metric, each)
    yield f"{each['divergence']:.4f}"
    yield words.number(each["efficiency"])


def _estimate(found: dict[str, Any] | None) -> Estimate | None:
    return None if found is None else Estimate.model_validate(found)


def _difference(metric: str, each: dict[str, Any]) -> str:
    if "difference" not in each:
        return "baseline"
    low, high = each["difference_95"]
    return words.difference(metric, (each["difference"], low, high))


def _parts(name: str, made: dict[str, Any]) -> Table:
    columns = _different(made)
    rows = [
        [_place(part), f"{part['weights']:,}", *(_megabytes(part["bytes"][one]) for one in columns)]
        for part in made["parts"]
    ]
    totals = [sum(part["bytes"][one] for part in made["parts"]) for one in columns]
    weights = sum(part["weights"] for part in made["parts"])
    rows.append(["all", f"{weights:,}", *map(_megabytes, totals)])
    note = "What an IR stores for each part, with scales; its graph comes on top."
    return Table(f"MB of each part: {name}", ["part", "weights", *columns], rows, note, {"part"})


def _different(made: dict[str, Any]) -> list[str]:
    """Name the variants, without those that store the same bytes as one before."""
    stored: dict[tuple[int, ...], str] = {}
    for each in made["variants"]:
        sizes = tuple(part["bytes"][each["name"]] for part in made["parts"])
        stored.setdefault(sizes, each["name"])
    return list(stored.values())


def _place(part: dict[str, Any]) -> str:
    where = "" if part["layer"] is None else f"layer {part['layer']}, "
    return f"{where}{part['part']}"


def _megabytes(size: float) -> str:
    return f"{size / 1e6:.3f}"


def drawn(page: Page) -> Iterator[Chart]:
    for number, (name, made) in enumerate(_stages(page), 1):
        yield _bars(f"bits-{number}", f"Bytes of each kind of part: {name}", made)


def _bars(name: str, title: str, made: dict[str, Any]) -> Chart:
    columns = _different(made)
    kinds = list(dict.fromkeys(part["part"] for part in made["parts"]))
    figure = svg.figure(0.9 + 0.35 * len(columns))
    axes = figure.add_subplot()
    left = np.zeros(len(columns))
    for place, kind in enumerate(kinds):
        own = [part["bytes"] for part in made["parts"] if part["part"] == kind]
        sizes = np.array([sum(each[one] for each in own) / 1e6 for one in columns])
        axes.barh(columns, sizes, left=left, color=svg.colour(place), label=kind)
        left += sizes
    axes.invert_yaxis()
    axes.set(xlabel="MB")
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    note = "All layers together. Biases and norms (others) are rounded nowhere but in f16."
    return Chart(title, svg.text(figure, name, title, note), note)
