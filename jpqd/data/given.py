"""Texts that a user gives for a model which is trained already, and labels where there are any."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from datasets import Dataset

from jpqd.core import cells
from jpqd.core.errors import DataError
from jpqd.core.progress import Progress
from jpqd.data import draft, sources, tables, texts
from jpqd.recipe import plugins
from jpqd.recipe.task import FILES, TEXTS
from jpqd.tasks import Kind

FEWEST, MOST = 100, 10_000
"""The rows that it takes, and those that are used of a larger file."""
_LOOKED_AT = 20_000
_TEXT = "text"
"""The column of texts that come without one."""
_SEED = 20_000
"""The rows that are drawn are the same for every seed of a run."""


@dataclass(frozen=True)
class Given:
    """A file's rows with a text in each."""

    path: Path
    text: tuple[str, ...]
    label: str | None
    """The column whose labels the model knows."""
    table: Dataset
    lost: int = 0
    """The rows of the file without a text, or without a label where others have one."""

    def one_by_one(self) -> Given:
        """Return every text in a row of its own, once: what has a vector for each of them."""
        columns = (self.table[name][:] for name in self.text)
        every = dict.fromkeys(str(text) for row in zip(*columns, strict=True) for text in row)
        _refuse_few(self.path, len(every))
        return replace(self, text=(_TEXT,), table=Dataset.from_dict({_TEXT: list(every)}))

    def drawn(self) -> Dataset:
        """Return the texts, of a large file some that are drawn at random."""
        table = self.table.select_columns([*self.text])
        if len(table) <= MOST:
            return table
        rows = np.random.default_rng(_SEED).choice(len(table), MOST, replace=False)
        return table.select(np.sort(rows))


def read(path: Path, text: tuple[str, ...], kind: Kind, cache: Path, progress: Progress) -> Given:
    """Read a file; guess its text columns where none are named."""
    file = sources.local_file(str(path), FILES)
    is_plain = file.suffix.lower() in TEXTS
    if is_plain and text:
        raise DataError(f"--text names columns, and {path} has a text in each line. Leave it out.")
    table = _of_lines(path) if is_plain else tables.read(file, cache / "tables", progress)
    names = [name for name in table.column_names if name]
    rows = table.select(range(min(len(table), _LOOKED_AT))).to_list()
    label = None if is_plain else _label(rows, [n for n in names if n not in text], kind)
    if not text and names == [label]:
        raise DataError(f"{path}: there is no column of texts beside {label!r}.")
    found = text or _texts(rows, names, label, is_plain=is_plain)
    _check_columns(path, found, names)
    columns = zip(*(table[name][:] for name in found), strict=True)
    there = [row for row, texts in enumerate(columns) if not any(map(cells.is_missing, texts))]
    _refuse_few(path, len(there))
    labels = table[label][:] if label else []
    known = [row for row in there if label and not cells.is_missing(labels[row])]
    if len(known) < FEWEST:  # too few to say anything, so the model's own answers do
        return Given(path, found, None, table.select(there))
    return Given(path, found, label, table.select(known), len(table) - len(known))


def _refuse_few(path: Path, count: int) -> None:
    if count < FEWEST:
        raise DataError(
            f"{path}: {count} rows with a text are too few. Give {FEWEST} or more; "
            "2,000 are good, and need no labels."
        )


def _of_lines(path: Path) -> Dataset:
    """Read a text from each line, or two with a tab between, as the first line has it."""
    lines = [line for part in texts.lines(str(path)) for line in part]
    if not lines or "\t" not in lines[0]:
        return Dataset.from_dict({_TEXT: lines})
    pairs = [line.split("\t") for line in lines]
    for number, pair in enumerate(pairs, 1):
        if len(pair) != 2:
            raise DataError(
                f"{path}: the first line has two texts with a tab between, and text {number} "
                f"({lines[number - 1][:60]!r}) is {len(pair)}. Write all lines alike."
            )
    first, second = zip(*pairs, strict=True)
    return Dataset.from_dict({"text_a": first, "text_b": second})


def _texts(
    rows: draft.Rows, names: list[str], label: str | None, *, is_plain: bool
) -> tuple[str, ...]:
    if is_plain:
        return tuple(names)
    return draft.texts_among(rows, [name for name in names if name != label])


def _check_columns(path: Path, text: tuple[str, ...], names: list[str]) -> None:
    for column in text:
        if column not in names:
            advice = plugins.unknown(column, names)
            raise DataError(f"--text: {path} has no column {column!r}; {advice}.")
    if len(text) > 2:
        raise DataError(f"--text: {len(text)} columns, and a model reads one or two texts.")


def _label(rows: draft.Rows, names: list[str], kind: Kind) -> str | None:
    """Find a column of labels that are all known to the model.

    One that is not called so is taken only where no other could be meant: folds are 0 and 1 too.
    """
    found = {name: [row[name] for row in rows if not cells.is_missing(row[name])] for name in names}
    found = {name: values for name, values in found.items() if values}
    named = [name for name in found if _are_names(found[name], kind)]
    numbers = [name for name in found if _are_numbers(found[name], kind)]
    called = draft.named(names)
    if called in {*named, *numbers}:
        return called
    others = named or ([] if called or kind.is_number else numbers)
    return others[0] if len(others) == 1 else None


def _are_names(values: list[object], kind: Kind) -> bool:
    names = {cells.as_text(name) for name in kind.names}
    return {cells.as_text(value) for value in values} <= names


def _are_numbers(values: list[object], kind: Kind) -> bool:
    if kind.is_number:
        return all(cells.as_float(value) is not None for value in values)
    classes = {str(number) for number in range(len(kind.names))}
    return {cells.as_text(value) for value in values} <= classes
