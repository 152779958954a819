"""Matplotlib figures as SVG in the page's own colours and font, the same each time."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure

INK, SOFT, FAINT = "#010203", "#040506", "#070809"
SERIES = tuple(f"#0a0b{place:02x}" for place in range(1, 13))
_MARKS = "osD^vP"
_VARIABLES = {
    INK: "var(--ink)", SOFT: "var(--soft)", FAINT: "var(--faint)",
    **{colour: f"var(--series-{place})" for place, colour in enumerate(SERIES)},
}  # fmt: skip
"""Colours that no chart uses; the style sheet defines their values in each theme."""

_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "jpqd",
    "text.parse_math": False,  # a stage may have a dollar in its name
    "font.family": "sans-serif",
    "font.size": 9.5,
    "text.color": INK,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": SOFT,
    "axes.titlecolor": INK,
    "axes.titlesize": 9.5,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": FAINT,
    "grid.linewidth": 0.5,
    "xtick.color": SOFT,
    "ytick.color": SOFT,
    "xtick.minor.size": 0,
    "legend.frameon": False,
    "savefig.transparent": True,
}
_SVG = Markup(
    '<svg viewBox="0 0 {width} {height}" role="img" aria-labelledby="{name}-t {name}-d">'
    '<title id="{name}-t">{title}</title><desc id="{name}-d">{words}</desc>{body}'
)
WIDTH = 6.8
"""The width in inches; the page scales charts to its own width."""


@contextmanager
def style() -> Iterator[None]:
    with matplotlib.rc_context():
        matplotlib.rcdefaults()  # not what a matplotlibrc on this machine says
        matplotlib.rcParams.update(_STYLE)
        yield


def figure(height: float) -> Figure:
    """Return a figure without pyplot: it needs no window system and nothing stays open."""
    return Figure(figsize=(WIDTH, height), layout="constrained")


def colour(place: int) -> str:
    return SERIES[place % len(SERIES)]


def mark(place: int) -> str:
    """Return a shape of points: with its colour, no two of 72 points are alike."""
    return _MARKS[(place + place // len(SERIES)) % len(_MARKS)]


def quiet(axes: Axes, grid: str) -> None:
    """Draw grid lines along one axis only."""
    axes.grid(False, axis="y" if grid == "x" else "x")
    axes.tick_params(length=0)


def text(drawn: Figure, name: str, title: str, words: str) -> Markup:
    """Return a figure as SVG for HTML; `words` describe it to readers who cannot see it.

    Every text is escaped where it is filled in; `name` begins all ids, and comes from our code.
    """
    out = io.StringIO()
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    drawn.savefig(out, format="svg", metadata=nothing)
    raw = out.getvalue()
    width, height = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', raw).groups()  # type: ignore[union-attr]
    body = raw[raw.index(">", raw.index("<svg")) + 1 :]
    for placeholder, variable in _VARIABLES.items():
        body = body.replace(placeholder, variable)
    body = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{name}-", body)
    return _SVG.format(
        name=name,
        width=width,
        height=height,
        title=title,
        words=words,
        body=Markup(body),  # noqa: S704
    )
