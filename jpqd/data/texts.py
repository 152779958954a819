"""Plain texts in a file, one in each line."""

from collections.abc import Iterator
from itertools import islice

from jpqd.core.errors import DataError
from jpqd.data import sources

_LINES = 1000


def lines(place: str) -> Iterator[list[str]]:
    """Read the texts of a file, some at a time; empty lines are none."""
    path = sources.local_file(place, sources.TEXTS)
    try:
        with path.open(encoding="utf-8-sig") as file:
            texts = (line.strip() for line in file)
            yield from _some(text for text in texts if text)
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 text ({error.reason}). Save it as UTF-8.") from None


def _some(texts: Iterator[str]) -> Iterator[list[str]]:
    while part := list(islice(texts, _LINES)):
        yield part
