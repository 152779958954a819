"""Classes that a file's header numbers: every split counts them as train does."""

from __future__ import annotations

from typing import Any

from datasets import ClassLabel, DatasetDict

from jpqd.core import cells
from jpqd.core.errors import DataError
from jpqd.recipe.task import Task


def as_train(task: Task, raw: DatasetDict, needed: set[str]) -> DatasetDict:
    """Number the classes of other splits anew where their own header has another order."""
    if task.label not in raw["train"].column_names:
        return raw
    wanted = raw["train"].features[task.label]
    names = _names(wanted)
    found = DatasetDict(raw)
    for split, table in raw.items():
        own = _names(table.features.get(task.label))
        if names is None or own is None or own == names:
            continue
        if missing := [name for name in own if name not in names]:
            if split in needed:
                raise DataError(
                    f"split {split!r}: the header of column {task.label!r} has the classes "
                    f"{cells.some(missing)}, which that of train lacks."
                )
            continue
        numbers = {number: names.index(name) for number, name in enumerate(own)}
        features = table.features.copy()
        features[task.label] = wanted
        found[split] = table.map(
            lambda column, numbers=numbers: {task.label: [_renumbered(c, numbers) for c in column]},
            batched=True, input_columns=[task.label], features=features, load_from_cache_file=False,
        )  # fmt: skip
    return found


def _names(feature: Any) -> list[str] | None:
    """Return the classes of a column of labels, or of lists of them."""
    inner = getattr(feature, "feature", feature)
    return list(inner.names) if isinstance(inner, ClassLabel) else None


def _renumbered(cell: Any, numbers: dict[int, int]) -> Any:
    """Replace a number, or those of a list; what is no class (-1, or nothing) stays."""
    if isinstance(cell, list):
        return [numbers.get(one, one) for one in cell]
    return numbers.get(cell, cell)
