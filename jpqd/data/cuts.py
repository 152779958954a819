"""Splits cut from train, the same for every seed: rows to report on, to choose on, a sample."""

import numpy as np
from datasets import Dataset, DatasetDict

from jpqd.core.errors import DataError
from jpqd.data import sources
from jpqd.recipe import plugins
from jpqd.recipe.task import Task

SPLIT_SEED = 20_000
"""Cuts are the same for every training seed, so that seeds can be compared."""


def cut(task: Task, usable: DatasetDict, *, in_order: bool = False) -> dict[str, Dataset]:
    """Cut splits from train, with a fixed seed, where the data has none to report or select on.

    With `in_order` the last rows are cut, together.
    """
    report = sources.canonical(task.report_on)
    if "select" in (report, *usable):
        raise DataError(
            "a split cannot be called 'select': jpqd uses this name for the rows that choose the "
            "checkpoint. Rename the split."
        )
    splits = {name: table for name, table in usable.items() if len(table)}
    if report not in splits:
        splits["train"], splits[report] = _cut(splits["train"], task.holdout, in_order)
    if isinstance(task.select_on, float):
        splits["train"], splits["select"] = _cut(splits["train"], task.select_on, in_order)
    else:
        splits["select"] = _chosen(task.select_on, report, splits)
    if task.train_rows is not None and task.train_rows < len(splits["train"]):
        share = task.train_rows / len(splits["train"])
        _, splits["train"] = _cut(splits["train"], share, in_order)
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


def _cut(table: Dataset, share: float, in_order: bool) -> tuple[Dataset, Dataset]:
    order = np.random.default_rng(SPLIT_SEED).permutation(len(table))
    order = np.arange(len(table))[::-1] if in_order else order
    size = max(1, round(len(table) * share))
    if size >= len(table):
        raise DataError(
            f"{len(table)} rows of train are too few to cut {share:.0%} from. "
            "Add rows, or add splits of your own for report_on and select_on."
        )
    return table.select(np.sort(order[size:])), table.select(np.sort(order[:size]))


def held_out(task: Task, raw: DatasetDict) -> list[str]:
    """Name the splits that are cut from train."""
    report = sources.canonical(task.report_on)
    chooses = ["select"] if isinstance(task.select_on, float) else []
    return ([] if report in raw else [report]) + chooses
