"""Texts and tables on a terminal. What others wrote is shown, and never obeyed."""

import json
import re
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

_CONTROLS = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)
"""Characters that move the cursor, colour, rename the window, turn the order of letters, or cannot
be written; the line's end and the tab stay."""


def plain(text: object) -> str:
    """Write control characters as their codes, such as \\x1b."""
    return _CONTROLS.sub(lambda found: found[0].encode("unicode_escape").decode(), str(text))


def json_line(value: Any) -> str:
    """Write a value as JSON in one line, letters as they are and control characters as codes."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return _CONTROLS.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


class PlainConsole(Console):
    """A console on which every text is plain: no markup, no emoji codes, no control characters."""

    def render_str(self, text: str, **options: Any) -> Text:
        return super().render_str(plain(text), **{**options, "markup": False, "emoji": False})


def new_table(title: str) -> Table:
    """Return an empty table with narrow gaps: a terminal may have only 80 columns."""
    return Table(
        title=f"\n{title}",
        title_justify="left",
        box=box.SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        padding=(0, 1, 0, 0),
    )
