"""The report for a pull request: the main tables, without charts."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator

from jpqd.report.page import (
    banner,
    classes,
    deployed,
    headline,
    robust,
    searches,
    speed,
    tables,
    weights,
    widths,
    worth,
)  # fmt: skip
from jpqd.report.page.gather import Page
from jpqd.report.page.tables import Table


def render(page: Page) -> str:
    return "\n\n".join(_parts(page)) + "\n"


def _parts(page: Page) -> Iterator[str]:
    yield f"## {plain(page.name)}"
    yield from (f"> **Warning:** {plain(warning)}" for warning in banner.warnings(page))
    yield f"**{plain(' '.join(headline.sentences(page)))}**"
    if notes := list(headline.notes(page)):
        yield "\n".join(f"- {plain(note)}" for note in notes)
    yield from _table(deployed.table(page))
    parts = [*classes.found(page), tables.stages(page), tables.differences(page)]
    if page.bench:
        parts += [*speed.measurements(page.bench), speed.arms(page.bench)]
    more = [
        weights.table(page),
        weights.answers(page),
        *robust.found(page),
        *worth.found(page),
        *worth.trials(page),
        *widths.found(page),
        *widths.trials(page),
        searches.table(page),
        *searches.finals(page),
        tables.layers(page),
        tables.checks(page),
    ]
    for table in [*parts, *more]:
        if table:
            yield from _table(table)
    yield "Charts, environment and recipe are in `report.html`."


def _table(table: Table) -> Iterator[str]:
    """Yield a table with its title and note; a cell never breaks its row."""
    yield f"### {plain(table.title)}"
    rule = ["---:" if table.is_number(column) else "---" for column in range(len(table.head))]
    body = [[plain(cell) for cell in row] for row in [table.head, *table.rows]]
    lines = [body[0], rule, *body[1:]]
    yield "\n".join(f"| {' | '.join(line)} |" for line in lines)
    if table.note:
        yield plain(table.note)


def plain(text: str) -> str:
    """Escape a text so that it shows as it is: no tag, no link, no extra cell."""
    text = html.escape(" ".join(text.split()), quote=False)
    return re.sub(r"([\\`*|]|(?<=\])\()", r"\\\1", text)
