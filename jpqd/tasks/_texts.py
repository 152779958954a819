"""The common base of kinds with one answer for one or two texts."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from jpqd.core import cells
from jpqd.recipe.task import Task
from jpqd.tasks import Columns, Kind

if TYPE_CHECKING:
    import numpy as np
    from transformers import PreTrainedTokenizerBase


class TextKind(Kind):
    head = "ForSequenceClassification"
    exporter = "text-classification"

    @classmethod
    def reads(cls, task: Task, column: str, feature: Any) -> bool:
        from datasets import ClassLabel

        return is_plain(feature) or (column == task.label and isinstance(feature, ClassLabel))

    def label(self, task: Task, row: Mapping[str, Any]) -> Any:
        if any(cells.is_missing(row[column]) for column in task.text):
            return None
        return None if cells.is_missing(row[task.label]) else self.number(row[task.label])

    @abstractmethod
    def number(self, cell: Any) -> int | float | None:
        """Turn a cell into a class or a number; None where it is not known."""

    def texts(self, task: Task, row: Mapping[str, Any]) -> list[str]:
        return [str(row[column]) for column in task.text]

    def encode(self, task: Task, rows: Columns, tokenizer: PreTrainedTokenizerBase) -> Columns:
        texts = [[str(cell) for cell in rows[column]] for column in task.text]
        labels = [self.number(cell) for cell in rows[task.label]]
        return tokens_of(texts, labels, task.max_length, tokenizer)

    def pad(self, labels: Sequence[Any], length: int) -> np.ndarray:
        import numpy as np

        return np.array(labels)


def tokens_of(
    texts: list[list[str]], labels: list[Any], longest: int, tokenizer: PreTrainedTokenizerBase
) -> Columns:
    """Turn one or two columns of texts into tokens, beside their labels."""
    kept = ["input_ids", "token_type_ids"] if len(texts) == 2 else ["input_ids"]
    encoded = tokenizer(*texts, truncation=True, max_length=longest)
    columns = {name: encoded[name] for name in kept if name in encoded}
    columns["labels"] = labels
    columns["lost"] = _were_cut(encoded, longest)
    columns["parts"] = [1] * len(columns["lost"])
    return columns


def _were_cut(encoded: Any, longest: int) -> list[int]:
    """Say of each text whether it was cut; slow tokenizers tell its length only."""
    if encoded.encodings:
        return [int(bool(one.overflowing)) for one in encoded.encodings]
    return [int(len(ids) == longest) for ids in encoded["input_ids"]]


def without_label(task: Any, text: str) -> Any:
    """Let a task that names no label take its first column of texts for one."""
    if not isinstance(task, dict) or task.get("label") is not None:
        return task
    columns = task.get("text", [text])
    return {
        **task,
        "label": columns[0] if isinstance(columns, list | tuple) and columns else columns,
    }


def is_plain(feature: Any) -> bool:
    """Return whether a column holds texts, numbers or booleans, and not lists or dates."""
    from datasets import Value

    return isinstance(feature, Value) and feature.dtype.startswith(_PLAIN)


_PLAIN = ("string", "large_string", "bool", "int", "uint", "float", "null")


def distinct_labels(task: Task, train: Any) -> list[Any]:
    """List the different labels of train."""
    return [value for value in train.unique(task.label) if not cells.is_missing(value)]
