"""CoNLL files: a word and its tag on each line, and an empty line after each text."""

import re
from collections.abc import Iterator
from pathlib import Path

from jpqd.core.errors import DataError

COLUMNS = ("tokens", "tags")
_DOCUMENT = "-DOCSTART-"
_SPACES = re.compile(r"[^ \r\n]+")
"""The cells of a line without tabs: a space that does not break (1\u00a0000) is part of a word."""


def read(path: Path) -> dict[str, list[list[str]]]:
    """Read the first column as words and the last one as tags."""
    tokens, tags = [], []
    for words, words_tags in _texts(path):
        tokens.append(words)
        tags.append(words_tags)
    if not tokens:
        raise DataError(f"{path}: the file has no rows.")
    return dict(zip(COLUMNS, (tokens, tags), strict=True))


def _texts(path: Path) -> Iterator[tuple[list[str], list[str]]]:
    words: list[str] = []
    tags: list[str] = []
    for cells in _lines(path):
        if cells:
            words.append(cells[0])
            tags.append(cells[-1])
        elif words:
            yield words, tags
            words, tags = [], []
    if words:
        yield words, tags


def _lines(path: Path) -> Iterator[list[str]]:
    """Yield the cells of each line, and no cells where a text ends; all lines have equal width."""
    width, is_tabbed = 0, False
    with path.open(encoding="utf-8-sig") as file:
        for number, line in enumerate(file, 1):
            cells = line.rstrip("\n").split("\t") if "\t" in line else _SPACES.findall(line)
            if not any(cell.strip() for cell in cells) or cells[0] == _DOCUMENT:
                yield []
                continue
            if not width and not _is_comment(line):
                width, is_tabbed = len(cells), "\t" in line
            if is_tabbed and "\t" not in line and _is_comment(line):
                continue
            if len(cells) == width and width > 1:
                yield cells
            elif not _is_comment(line):
                raise DataError(
                    f"{path}, line {number}: {len(cells)} columns ({line.strip()[:60]!r}), but "
                    f"{max(width, 2)} were expected: a word first, its tag last."
                )


def _is_comment(line: str) -> bool:
    return line.startswith("#")
