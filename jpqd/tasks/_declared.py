"""Classes that the header of the data declares, under the recipe's names where it gives some."""

from __future__ import annotations

from jpqd.core import cells
from jpqd.core.errors import DataError
from jpqd.recipe.task import Task

Names = tuple[str, ...]


def classes(task: Task, names: Names, what: str) -> tuple[Names, Names]:
    """Return the names of the classes, and their numbers as the data has them.

    The header's own names in another order are these classes in that order.
    """
    if task.labels and len(task.labels) != len(names):
        raise DataError(
            f"column {task.label!r} has {len(names)} {what} ({cells.some(names)}), "
            f"but task.labels has {len(task.labels)}: {cells.some(task.labels)}."
        )
    same = bool(task.labels) and sorted(task.labels) == sorted(names)
    numbers = map(names.index, task.labels) if same else range(len(names))
    return task.labels or names, tuple(map(str, numbers))
