"""Checks of local data and models that cost no time, before seconds of imports."""

import csv
import json
from collections.abc import Collection, Iterator
from io import StringIO
from itertools import islice
from pathlib import Path
from typing import Any

from jpqd import tasks
from jpqd.core.errors import DataError
from jpqd.data import grouping, sources
from jpqd.recipe import plugins
from jpqd.recipe.task import TABLES, NewModel, Task, looks_local

LONGEST_CELL = 1_000_000
"""Letters: what is longer is no text to classify, but a slip."""
_BEGINNING = 100_000
"""The bytes of a file that are looked at."""
_SEPARATORS = {"\t": "tabs", ";": "semicolons", "|": "bars"}


def check(model: str | NewModel, task: Task) -> None:
    """Refuse a model without its tokenizer, and data that cannot be what the task says.

    Names the problems of every data file.
    """
    if isinstance(model, str) and looks_local(model):
        sources.require_tokenizer(sources.local_model(model))
    _check_splits(task)
    groups = grouping.of_task(task)
    files = [(split, path) for split, paths in groups.items() for path in paths]
    problems = [what for split, path in files for what in _problems(task, groups, split, path)]
    if problems:
        raise DataError("\n".join(problems))


_TAKEN = ("model", "data", "check", "ir", "lengths", "texts", "task")
"""Names among a stage's figures that are no splits."""


def _check_splits(task: Task) -> None:
    """Refuse the rows that models are trained on, and names that other figures have."""
    for key, split in (("report_on", task.report_on), ("select_on", task.select_on)):
        if isinstance(split, str) and sources.canonical(split) == "train":
            raise DataError(
                f"task.{key}: {split!r} is what models are trained on. Name another split, such as "
                "test."
            )
    if sources.canonical(task.report_on) in _TAKEN:
        raise DataError(
            f"task.report_on: {task.report_on!r} is the name of other figures. Rename the split."
        )


def columns_needed(task: Task, split: str, there: Collection[str]) -> tuple[str, ...]:
    """Name the columns that a split's rows need: train no scores that are never learnt.

    It needs them where the rows that are reported are cut from it.
    """
    told = split == "train" and sources.canonical(task.report_on) in there
    if told and task.use is not None and tasks.load(task.use).unlabelled(task):
        return task.text
    return (*task.text, task.label)


def _problems(task: Task, there: Collection[str], split: str, path: Path) -> Iterator[str]:
    with path.open("rb") as file:
        start = file.read(_BEGINNING)
    if not start:
        yield f"{path}: the file is empty."
    elif path.suffix.lower() != ".parquet" and b"\x00" in start:
        yield f"{path}: this is no text, but binary data. Give {', '.join(TABLES)}."
    else:
        if split in ("train", sources.canonical(task.report_on)):
            text = start.decode("utf-8-sig", "replace")
            yield from _missing_columns(columns_needed(task, split, there), path, text)


def _missing_columns(wanted: Collection[str], path: Path, start: str) -> Iterator[str]:
    columns = _columns(path, start)
    for column in wanted if columns else ():
        if column not in columns:
            advice = other_separator(columns) or f"{plugins.unknown(column, columns)}."
            yield f"{path}: there is no column {column!r}; {advice}"


def separated(kind: str) -> dict[str, Any]:
    """Return how cells are told apart: quotes are text between tabs."""
    if kind == ".tsv":
        return {"delimiter": "\t", "quoting": csv.QUOTE_NONE}
    return {"delimiter": ","}


def _columns(path: Path, start: str) -> list[str]:
    """Return the columns' names; empty where the beginning of the file does not tell them."""
    kind = path.suffix.lower()
    if kind in (".csv", ".tsv"):
        rows = csv.reader(StringIO(start, newline=""), **separated(kind))
        return next(iter(islice(rows, 1)), [])
    if kind == ".parquet":
        from pyarrow import parquet

        try:
            return list(parquet.read_schema(path).names)
        except (OSError, ValueError) as error:
            raise DataError(f"{path}: cannot be read as Parquet: {error}") from error
    return _keys(start) if kind == ".jsonl" else []


def _keys(start: str) -> list[str]:
    """Return the keys of all rows there; what is no JSON is told later, with its line."""
    found: dict[str, None] = {}
    for line in filter(str.strip, start.split("\n")):
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            break  # at the latest the last line, which is cut
        found.update(dict.fromkeys(row if isinstance(row, dict) else ()))
    return list(found)


def other_separator(columns: list[str]) -> str:
    """Say what separates the columns, where the header looks like a single one."""
    for separator, name in _SEPARATORS.items():
        if len(columns) == 1 and separator in columns[0]:
            remedy = "Name it .tsv." if separator == "\t" else "Save it with commas, as .csv."
            return f"its columns are separated by {name}. {remedy}"
    return ""
