"""From whatever stands in a label column to class numbers or floats."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from datasets import ClassLabel, Dataset, Value

from jpqd.core.errors import DataError
from jpqd.recipe.task import Task

MAX_CLASSES = 1000
_PLAIN = ("string", "large_string", "bool", "int", "uint", "float", "null")
_WHOLE = re.compile(r"(-?[0-9]+)(\.0+)?")
Kind = Literal["classification", "regression"]


@dataclass(frozen=True)
class Labels:
    """How label values are read: class names in order, or none for regression."""

    kind: Kind
    names: tuple[str, ...] = ()
    values: tuple[str, ...] = ()
    """What stands in the data for each class, as text."""

    def number(self, value: Any) -> int | float | None:
        """The class or the float of one cell; None where it is missing."""
        if is_missing(value):
            return None
        if self.kind == "regression":
            return as_float(value)
        text = as_text(value)
        return self.values.index(text) if text in self.values else None


def find(task: Task, train: Dataset) -> Labels:
    """Look at train's label column once and decide, unless the recipe has said it."""
    feature = train.features[task.label]
    if isinstance(feature, ClassLabel) and task.kind != "regression":
        return _declared(task, tuple(feature.names))
    found = [value for value in train.unique(task.label) if not is_missing(value)]
    if not found:
        raise DataError(f"column {task.label!r}: every label of train is missing.")
    if task.kind == "regression" or (task.kind is None and not task.labels and _fractions(found)):
        return _regression(task, found)
    return _classes(task, found)


def _declared(task: Task, names: tuple[str, ...]) -> Labels:
    """The data itself says what its class numbers mean."""
    if task.labels and len(task.labels) != len(names):
        raise DataError(
            f"column {task.label!r} has {len(names)} classes ({_some(names)}), "
            f"but task.labels has {len(task.labels)}: {_some(task.labels)}."
        )
    return _named(task.labels or names, tuple(str(number) for number in range(len(names))))


def _regression(task: Task, found: list[Any]) -> Labels:
    wrong = next((value for value in found if as_float(value) is None), None)
    if wrong is not None:
        raise DataError(
            f"column {task.label!r}: {wrong!r} is not a number, and kind is regression. "
            "Mend the data, or leave kind out."
        )
    return Labels("regression")


def _classes(task: Task, found: list[Any]) -> Labels:
    texts = {as_text(value) for value in found}
    numbers = all(_is_whole(text) for text in texts)
    values = tuple(sorted(texts, key=(lambda text: (int(text), text)) if numbers else None))
    if len(values) > MAX_CLASSES:
        raise DataError(
            f"column {task.label!r}: {len(values)} different labels, for example {values[:3]}. "
            "Is this the label column? Set kind: regression where the labels are measures."
        )
    if task.labels:
        return _as_asked(task, values)
    if len(values) == 1:
        raise DataError(
            f"column {task.label!r}: every row has the label {values[0]!r}. "
            "Name all classes in task.labels where train lacks some."
        )
    return _named(values, values)


def _as_asked(task: Task, values: tuple[str, ...]) -> Labels:
    """`task.labels` are what stands in the data, or names for the numbers 0, 1, ..."""
    numbers = tuple(str(number) for number in range(len(task.labels)))
    for meant in (tuple(map(as_text, task.labels)), numbers):
        if set(values) <= set(meant):
            return _named(task.labels, meant)
    raise DataError(
        f"column {task.label!r} holds {_some(values)}, which does not fit task.labels "
        f"{_some(task.labels)}. Write the labels as they stand in the data, or a name for each "
        "of the numbers 0, 1, ..."
    )


def _named(names: tuple[str, ...], values: tuple[str, ...]) -> Labels:
    return Labels("classification", names, values)


def is_plain(feature: Any) -> bool:
    """Text, numbers or booleans: not nested, not of mixed types, not a point in time."""
    return isinstance(feature, Value) and feature.dtype.startswith(_PLAIN)


def is_missing(value: Any) -> bool:
    if value is None or (isinstance(value, float) and np.isnan(value)):
        return True
    return isinstance(value, str) and not value.strip()


def as_text(value: Any) -> str:
    """`1`, `1.0` and `"1.0"` are one label however a file's format spells it."""
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
    return number if np.isfinite(number) else None


def _is_whole(text: str) -> bool:
    return _WHOLE.fullmatch(text) is not None


def _fractions(found: Iterable[Any]) -> bool:
    """Numbers of which at least one is not whole."""
    texts = [as_text(value) for value in found]
    return all(as_float(text) is not None for text in texts) and not all(map(_is_whole, texts))


def _some(values: Iterable[str]) -> str:
    shown = list(values)
    return ", ".join(map(repr, shown[:5])) + (", ..." if len(shown) > 5 else "")
