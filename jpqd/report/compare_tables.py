"""The tables of a comparison: for a terminal of 80 columns, and for GitHub."""

from itertools import chain
from pathlib import Path

from rich.console import Group
from rich.table import Table

from jpqd.core import terminal
from jpqd.report import words
from jpqd.report.compare import Comparison, Row

_Cells = dict[str, str]


def table(comparison: Comparison) -> Group:
    """Return tables for the terminal: the main figure, and below what belongs to it."""
    main, others, alike, models = zip(*_lines(comparison), strict=True)
    stages = [row.stage for row in comparison.stages]
    tables = [_table(_title(comparison), _rows(stages, main))]
    if others[0]:
        tables += [_table("Other figures", _one_by_one(comparison))]
    tables += [_table("Answers like the baseline's", _rows(stages, alike))]
    return Group(*tables, _table("Models", _rows(stages, models)))


def _rows(stages: list[str], lines: tuple[_Cells, ...]) -> list[_Cells]:
    return [{"stage": stage, **cells} for stage, cells in zip(stages, lines, strict=True)]


def _one_by_one(comparison: Comparison) -> list[_Cells]:
    """Return a row for each stage and figure: side by side they would not fit a terminal."""
    return [
        {
            "figure": f"{name}{_percent(name)}",
            "stage": row.stage,
            "value": words.score(name, row.figures[name]),
            f"difference {words.INTERVAL}": words.difference(name, row.differences.get(name)),
        }
        for name in comparison.stages[0].figures
        for row in comparison.stages
    ]


def _table(title: str, rows: list[_Cells]) -> Table:
    table = terminal.new_table(title)
    for column in rows[0]:
        left = column in ("stage", "figure")
        table.add_column(column, justify="left" if left else "right", overflow="fold")
    for cells in rows:
        table.add_row(*cells.values())
    return table


def markdown(comparison: Comparison) -> str:
    """Return a table for GitHub."""
    stages = [row.stage for row in comparison.stages]
    lines = [dict(chain.from_iterable(part.items() for part in parts))
             for parts in _lines(comparison)]  # fmt: skip
    head = ["stage", *lines[0]]
    rows = [[stage, *cells.values()] for stage, cells in zip(stages, lines, strict=True)]
    body = [head, ["---", *("---:" for _ in head[1:])], *rows]
    return "\n".join([f"{_title(comparison)}\n", *(f"| {' | '.join(line)} |" for line in body)])


def _title(comparison: Comparison) -> str:
    names = ", ".join(Path(run).name for run in comparison.runs)
    n = comparison.stages[0].n
    return (
        f"{names}: {comparison.split}, n = {n}, against {comparison.baseline} on the same rows "
        "(95% intervals over rows)"
    )


def _lines(comparison: Comparison) -> list[tuple[_Cells, ...]]:
    """Return a line for each stage, in parts, without columns that are empty."""
    optional = {"McNemar p": "mcnemar_p", "KL": "divergence"}
    never = {column for column, name in optional.items()
             if all(getattr(row, name) is None for row in comparison.stages)}  # fmt: skip
    lines = [_line(row, comparison.metric) for row in comparison.stages]
    return [
        tuple({k: v for k, v in part.items() if k not in never} for part in line) for line in lines
    ]


def _line(row: Row, metric: str) -> tuple[_Cells, ...]:
    percent = _percent(metric)
    same = f"{percent} {words.INTERVAL}" if percent else ""
    value, *each = (words.score(metric, x) for x in (row.value, *row.each))
    return (
        {
            f"{metric}{percent}": f"{value} ({', '.join(each)})" if len(each) > 1 else value,
            f"{words.points(metric)} {words.INTERVAL}": words.difference(metric, row.difference),
            "McNemar p": _number(row.mcnemar_p, ".3g"),
        },
        _others(row),
        {
            f"agreement{same}": words.score(metric, row.agreement, row.agreement_95),
            "KL": _number(row.divergence, ".4f"),
        },
        {
            "kept %": _number(row.model["encoder_share"], ".1f", 100),
            "non-zero %": _number(row.model["nonzero_share"], ".1f", 100),
            "parameters": _number(row.model["parameters"], ",.0f"),
            "precision": row.model["precision"] or words.NONE,
        },
    )


def _others(row: Row) -> _Cells:
    cells = {}
    for name, value in row.figures.items():
        difference = row.differences.get(name)
        cells[f"{name}{_percent(name)}"] = words.score(name, value)
        unit = f"{name} {words.points(name)} {words.INTERVAL}"
        cells[unit] = words.difference(name, difference)
    return cells


def _percent(metric: str) -> str:
    return " %" if words.is_percent(metric) else ""


def _number(value: float | None, style: str, scale: float = 1) -> str:
    return words.NONE if value is None else format(value * scale, style)
