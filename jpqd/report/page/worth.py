"""The worth of each part of a model: tables and heat maps of every trial."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from matplotlib.colors import LogNorm
from matplotlib.ticker import FuncFormatter

from jpqd.core.manifest import Manifest
from jpqd.report import words
from jpqd.report.page import svg
from jpqd.report.page.charts import Chart
from jpqd.report.page.gather import Page
from jpqd.report.page.tables import Table
from jpqd.report.words import NONE

Cell = dict[str, Any]
_LEAST = 1e-6
"""Divergences below this are drawn like it."""
_DARK = 0.6
"""The part of the colours on which white letters are read best."""


def _stages(page: Page) -> list[Manifest]:
    return [stage for stage in page.stages if stage.metrics.get("sensitivity")]


def _grids(
    stage: Manifest,
) -> Iterator[tuple[str, list[str], list[str], dict[tuple[str, str], Cell]]]:
    """Yield what was done, the rows, the columns and the cells: pruned parts, then rounded ones."""
    cells: list[Cell] = stage.metrics["sensitivity"]["cells"]
    for name, key, column in (("pruned", "keep", _kept), ("rounded", "bits", _bits)):
        chosen = [cell for cell in cells if key in cell]
        by_place = {(_row(cell), column(cell)): cell for cell in chosen}
        rows, columns = (list(dict.fromkeys(place[n] for place in by_place)) for n in (0, 1))
        yield name, rows, columns, by_place


def _row(cell: Cell) -> str:
    return cell["part"] if cell["layer"] is None else f"layer {cell['layer']}, {cell['part']}"


def _kept(cell: Cell) -> str:
    return f"{cell['keep']:.0%} kept"


def _bits(cell: Cell) -> str:
    return f"{cell['bits']} bits"


def trials(page: Page) -> Iterator[Table]:
    for stage in _stages(page):
        made = stage.metrics["sensitivity"]
        for name, rows, columns, cells in _grids(stage):
            body = [[row, *(_said(cells.get((row, column))) for column in columns)] for row in rows]
            what = f"{made['measure']} to the whole model on {made['rows']:,} held-out rows"
            note = f"{what}, one part at a time."
            title = f"What each part is worth, {name}: {stage.stage}"
            yield Table(title, ["part", *columns], body, note, {"part"})


def found(page: Page) -> Iterator[Table]:
    yield from map(_advice, _stages(page))


def _said(cell: Cell | None) -> str:
    return NONE if cell is None else f"{cell['divergence']:#.2g}"


def _advice(stage: Manifest) -> Table:
    made = stage.metrics["sensitivity"]
    sparing, floor = made["advice"]["ignore"], made["advice"]["floor"]
    ignore = f"ignore: [{', '.join(sparing)}]" if sparing else "nothing"
    rows = [
        ["quantize", ignore],
        ["prune", f"floor: {floor:g}" if floor else "nothing"],
    ]
    rows += [
        [f"rank correlation of {name} with what was measured", words.number(value)]
        for name, value in made["correlations"].items()
    ]
    note = (
        "Ignore: parts that cost a KL of 0.001 or more in 8 bits alone. Floor: where the last "
        "quarter of a layer's heads or neurons costs five times what the others did, and scores "
        "alone would take all of them at keep 0.3. Correlations are over "
        "all pruned parts: the sum of the scores of what is gone, and the KL."
    )
    return Table(
        f"What follows from it: {stage.stage}", ["key", "advice"], rows, note, {"key", "advice"}
    )


def drawn(page: Page) -> Iterator[Chart]:
    for number, stage in enumerate(_stages(page), 1):
        for name, rows, columns, cells in _grids(stage):
            if rows:
                known = {place: cell["divergence"] for place, cell in cells.items()}
                values = [[known.get((row, column), np.nan) for column in columns] for row in rows]
                yield _map(f"{name}-{number}", f"What each part is worth, {name}: {stage.stage}",
                           rows, columns, values)  # fmt: skip


def _map(
    name: str, title: str, rows: Sequence[str], columns: Sequence[str], values: list[list[float]]
) -> Chart:
    table = np.maximum(np.array(values), _LEAST)  # and nothing where a part has too few units
    figure = svg.figure(0.9 + 0.2 * len(rows))
    axes = figure.add_subplot()
    low, high = np.nanmin(table), np.nanmax(table)
    norm = LogNorm(low, max(high, 2 * low))
    mesh = axes.pcolormesh(np.ma.masked_invalid(table), cmap="viridis", norm=norm)
    for (row, column), value in np.ndenumerate(np.array(values)):
        if np.isfinite(value):
            dark = norm(max(value, _LEAST)) < _DARK
            axes.text(column + 0.5, row + 0.5, f"{value:.2g}", ha="center", va="center",
                      fontsize=7, color="white" if dark else "black")  # fmt: skip
    axes.set_xticks(np.arange(len(columns)) + 0.5, labels=columns)
    axes.set_yticks(np.arange(len(rows)) + 0.5, labels=rows)
    axes.invert_yaxis()
    axes.grid(False)
    plain = FuncFormatter(lambda value, _: f"{value:g}")
    figure.colorbar(mesh, label="divergence (logarithmic)", format=plain)
    note = (
        "Yellow costs most. Each part was changed alone, and nothing was solved again or trained."
    )
    return Chart(title, svg.text(figure, f"worth-{name}", title, note), note)
