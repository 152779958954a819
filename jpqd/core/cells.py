"""Cells of a table: missing values, texts and numbers."""

import math
import re
from collections.abc import Iterable
from typing import Any

_WHOLE = re.compile(r"(-?[0-9]+)(\.0+)?")


def is_missing(value: Any) -> bool:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return True
    return isinstance(value, str) and not value.strip()


def as_text(value: Any) -> str:
    """Return a cell as text: `1`, `1.0` and `"1.0"` are the same label in every file format."""
    if isinstance(value, bool):
        return str(value).lower()
    text = str(value).strip()
    whole = _WHOLE.fullmatch(text)
    return whole[1] if whole else text


def as_float(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None


def is_whole(text: str) -> bool:
    return _WHOLE.fullmatch(text) is not None


def some(values: Iterable[str]) -> str:
    """Name the first few values, for a message."""
    names = list(values)
    return ", ".join(map(repr, names[:5])) + (", ..." if len(names) > 5 else "")
