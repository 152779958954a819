"""The rows that can be used; columns and rows that cannot are refused, or counted and left out."""

import reprlib
from typing import Any

import numpy as np
from datasets import Dataset, DatasetDict

from jpqd.core.errors import DataError
from jpqd.data import preflight, sources
from jpqd.recipe import plugins
from jpqd.recipe.task import Task
from jpqd.tasks import Kind

ROW = "__row__"
"""The column with the number of each row in the data."""


def check_columns(task: Task, raw: DatasetDict) -> None:
    if "train" not in raw:
        raise DataError(f"there is no split 'train'; the data has {', '.join(raw) or 'none'}.")
    for split in needed(task) & set(raw):
        for column in preflight.columns_needed(task, split, raw):
            if column not in raw[split].column_names:
                advice = plugins.unknown(column, raw[split].column_names)
                raise DataError(f"split {split!r} has no column {column!r}; {advice}.")


def check_types(task: Task, raw: DatasetDict, kind: type[Kind]) -> None:
    for split, table in raw.items():
        for column in [c for c in (*task.text, task.label) if c in table.column_names]:
            feature = table.features[column]
            if not kind.reads(task, column, feature):
                wanted = "labels" if column == task.label else "texts"
                raise DataError(
                    f"split {split!r}: column {column!r} holds {feature}, but a {kind.title} needs "
                    f"{wanted}. Write every value as a text of its own, in quotes where "
                    "the format has them."
                )


def rows(task: Task, raw: DatasetDict, kind: Kind, split: str) -> Dataset:
    """Return the rows with text and label; refuse the data where too many have none."""
    if task.label not in preflight.columns_needed(task, split, raw):  # a text is enough
        task = task.model_copy(update={"label": task.text[0]})
    table, columns = raw[split], [*task.text, task.label]
    if not {*columns} <= set(table.column_names):
        return table.select([])

    def keep(*cells: list[Any]) -> list[bool]:
        rows = (dict(zip(columns, row, strict=True)) for row in zip(*cells, strict=True))
        return [kind.label(task, row) is not None for row in rows]

    numbered = table.add_column(ROW, np.arange(len(table)))
    used = numbered.filter(keep, batched=True, input_columns=columns, load_from_cache_file=False)
    if split not in needed(task) and not len(used):
        return used  # a test split whose labels are kept secret
    unusable = len(table) - len(used)
    if unusable > task.max_unusable * len(table) or not len(used):
        raise DataError(
            f"split {split!r}: {unusable} of {len(table)} rows have no text, or no label that "
            f"train knows (more than max_unusable {task.max_unusable:.1%}). "
            f"The first is {_first_unusable(table, keep, columns)}. "
            "Correct the data, or raise task.max_unusable."
        )
    return used


def _first_unusable(table: Dataset, keep: Any, columns: list[str]) -> str:
    """Name the first unusable row, counted from 1 below the header."""
    for start in range(0, len(table), 1000):
        rows = table[start : start + 1000]
        for offset, usable in enumerate(keep(*(rows[column] for column in columns))):
            if not usable:
                cells = [f"{column}: {reprlib.repr(rows[column][offset])}" for column in columns]
                return f"row {start + offset + 1} ({', '.join(cells)})"
    return "unknown"


def needed(task: Task) -> set[str]:
    chooses = {sources.canonical(task.select_on)} if isinstance(task.select_on, str) else set()
    return {"train", sources.canonical(task.report_on)} | chooses
