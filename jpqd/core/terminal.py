"""Texts and tables on a terminal. What others wrote is shown, and never obeyed."""

import json
import re
import unicodedata
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

_OTHER = re.compile(r"[^\x20-\x7e\n\t]")
_JOINERS = "\u200c\u200d"
"""Characters of words and of emoji, which have no look of their own and do no harm."""


def _steers(character: str) -> bool:
    """Return whether it moves the cursor, colours, turns the order of letters, or has no look."""
    return unicodedata.category(character)[0] == "C" and character not in _JOINERS


def _code(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode() if _steers(found[0]) else found[0]


def _json_code(found: re.Match[str]) -> str:
    """Write it as JSON does; those beyond 16 bits stay, since no terminal obeys one."""
    steers = _steers(found[0]) and ord(found[0]) < 0x10000
    return f"\\u{ord(found[0]):04x}" if steers else found[0]


def plain(text: object) -> str:
    """Write control characters as their codes, such as \\x1b."""
    return _OTHER.sub(_code, str(text))


def json_line(value: Any) -> str:
    """Write a value as JSON in one line, letters as they are and control characters as codes."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return _OTHER.sub(_json_code, text)


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
