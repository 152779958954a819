"""Kinds of task: `use: classification` is classification.py, class Classification.

Each kind is one file, and their contract is _kind.py. This file finds the kind of given data.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jpqd.core.errors import DataError, SourceError
from jpqd.core.names import MODULES
from jpqd.recipe import plugins
from jpqd.recipe.task import KINDS, Task
from jpqd.tasks._kind import VECTORS, Columns, Kind

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedModel

__all__ = ["VECTORS", "Columns", "Kind"]


def load(use: str) -> type[Kind]:
    return plugins.load(use, KINDS, Kind)


def of_facts(facts: Mapping[str, Any]) -> Kind:
    """Make a kind from its `facts`."""
    return load(facts["use"])(tuple(facts["names"]), tuple(facts["values"]))


def of_columns(task: Task, train: Dataset) -> type[Kind]:
    """Find the kind that fits the columns, where the recipe does not say."""
    use = task.use or next(use for use in _plainest_last() if load(use).fits(task, train))
    return load(use)


def of_data(task: Task, train: Dataset) -> Kind:
    """Find the kind and its labels."""
    kind = of_columns(task, train)
    if task.metric is not None and task.metric not in kind.metrics:
        raise DataError(
            f"task.metric {task.metric!r} does not fit: the labels in column {task.label!r} make "
            f"this a {kind.use.replace('_', ' ')}. Choose one of {', '.join(kind.metrics)}, or set "
            "task.use."
        )
    return kind.find(task, train)


def _plainest_last() -> list[str]:
    """List the kinds, with classification last: it fits whatever no other kind recognizes."""
    return sorted(plugins.names(KINDS), key=lambda use: use == _PLAINEST)


_PLAINEST = "classification"


def of_config(config: Mapping[str, Any]) -> Kind:
    """Find the kind of a model by its config.json."""
    names = tuple(str(name) for _, name in sorted(_by_number(config).items()))
    architecture = next(iter(config.get("architectures") or ()), "")
    if architecture.endswith("ForSequenceClassification"):
        _refuse_several(config.get("problem_type"), len(names))
    if not names and architecture.endswith(_WITH_CLASSES):
        names = _TWO
    for use in plugins.names(KINDS):
        kind = load(use)
        fits = kind.by_head and architecture.endswith((kind.head, *kind.older_heads))
        if fits and (kind.vectors or kind.is_number == (len(names) == 1)):
            return kind.named(names)
    return load("regression")() if len(names) == 1 else load(_PLAINEST)(names, names)


def _refuse_several(problem: str | None, count: int) -> None:
    """Refuse models that give a text more than one answer: no class is the best of them."""
    several = {"multi_label_classification": "any number of labels"}
    if count > 1:
        several["regression"] = f"{count} numbers"
    if problem in several:
        raise SourceError(
            f"the model gives each text {several[problem]} (problem_type: {problem}), which is not "
            "supported."
        )


_WITH_CLASSES = ("ForSequenceClassification", "ForTokenClassification")
_TWO = ("LABEL_0", "LABEL_1")
"""The classes of a config.json that names none: transformers leaves its default out."""


def plain(name: str) -> str:
    """Return a label's name in lower case; a class without a name is called by its number."""
    return str(name).casefold().removeprefix("label_")


def of_folder(folder: Path) -> Kind:
    """Find the kind of the model in a folder. Whoever pools its tokens says so beside it."""
    if pools(folder):
        return _of_vectors()
    return of_config(json.loads((folder / "config.json").read_text()))


def _of_vectors() -> Kind:
    return next(load(use)() for use in plugins.names(KINDS) if load(use).vectors)


def pools(folder: Path) -> bool:
    """Return whether a folder's files say that tokens become a vector."""
    modules = folder / MODULES
    return modules.is_file() and bool(_POOLING.search(modules.read_text(encoding="utf-8")))


_POOLING = re.compile(r'"type":\s*"[\w.]*\bPooling"')


def of_network(network: PreTrainedModel) -> Kind:
    """Find the kind of a model by its head, or by the vectors that it makes."""
    if getattr(network, VECTORS, None) is not None:
        return _of_vectors()
    return of_config({**network.config.to_dict(), "architectures": [type(network).__name__]})


def _by_number(config: Mapping[str, Any]) -> dict[int, str]:
    return {int(number): name for number, name in (config.get("id2label") or {}).items()}
