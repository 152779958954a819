"""Splits cut from train, the same for every seed: rows to report on, to choose on, a sample."""

from collections.abc import Sequence

import numpy as np
from datasets import Dataset, DatasetDict

from jpqd.core.errors import DataError
from jpqd.data import sources
from jpqd.recipe import plugins
from jpqd.recipe.task import Task

SPLIT_SEED = 20_000
"""Cuts are the same for every training seed, so that seeds can be compared."""


def cut(
    task: Task, usable: DatasetDict, *, in_order: bool = False, together: str | None = None
) -> dict[str, Dataset]:
    """Cut splits from train, with a fixed seed, where the data has none to report or select on.

    With `in_order` the last rows are cut, together. Rows whose column `together` is the same stay
    in one part.
    """
    report = sources.canonical(task.report_on)
    if "select" in (report, *usable):
        raise DataError(
            "a split cannot be called 'select': jpqd uses this name for the rows that choose the "
            "checkpoint. Rename the split."
        )
    splits = {name: table for name, table in usable.items() if len(table)}
    if report not in splits:
        splits["train"], splits[report] = _cut(splits["train"], task.holdout, in_order, together)
    if isinstance(task.select_on, float):
        splits["train"], splits["select"] = _cut(
            splits["train"], task.select_on, in_order, together
        )
    else:
        splits["select"] = _chosen(task.select_on, report, splits)
    if task.train_rows is not None and task.train_rows < len(splits["train"]):
        share = task.train_rows / len(splits["train"])
        _, splits["train"] = _cut(splits["train"], share, in_order, together)
    return splits


def _chosen(select_on: str, report: str, splits: dict[str, Dataset]) -> Dataset:
    select = sources.canonical(select_on)
    if select == report:
        raise DataError(
            f"select_on and report_on are both the split {report!r}. Choose another for select_on."
        )
    if select not in splits:
        raise DataError(
            f"select_on: there is no split {select!r}; {plugins.unknown(select, splits)}."
        )
    return splits[select]


def _cut(
    table: Dataset, share: float, in_order: bool, together: str | None
) -> tuple[Dataset, Dataset]:
    rows = np.arange(len(table))
    units = _numbered(table[together][:]) if together else rows
    count = int(units.max(initial=-1)) + 1
    order = np.random.default_rng(SPLIT_SEED).permutation(count)
    order = np.arange(count)[::-1] if in_order else order
    size = max(1, round(count * share))
    if size >= count:
        raise DataError(
            f"{count} {'queries' if together else 'rows'} of train are too few to cut "
            f"{share:.0%} from. Add rows, or add splits of your own for report_on and select_on."
        )
    mine = np.isin(units, order[:size])
    return table.select(rows[~mine]), table.select(rows[mine])


def repeated(task: Task, splits: dict[str, Dataset], raw: DatasetDict) -> dict[str, float]:
    """Return the share of rows whose texts stand in train too: of the reported split, and of what
    is cut from train.
    """
    train = _hashes(task, splits["train"])
    names = {sources.canonical(task.report_on), *held_out(task, raw)} & splits.keys()
    return {
        name: float(np.isin(_hashes(task, splits[name]), train).mean()) for name in sorted(names)
    }


def _hashes(task: Task, table: Dataset) -> np.ndarray:
    parts = table.select_columns([*task.text]).iter(10_000)
    texts = (row for part in parts for row in zip(*(part[c] for c in task.text), strict=True))
    return np.fromiter((hash(str(row)) for row in texts), np.int64)


def _numbered(cells: Sequence[str]) -> np.ndarray:
    """Number cells by their content; an array of texts would take the longest for each."""
    numbers = {cell: number for number, cell in enumerate(sorted(set(cells)))}
    return np.array([numbers[cell] for cell in cells])


def held_out(task: Task, raw: DatasetDict) -> list[str]:
    """Name the splits that are cut from train."""
    report = sources.canonical(task.report_on)
    chooses = ["select"] if isinstance(task.select_on, float) else []
    return ([] if report in raw else [report]) + chooses
