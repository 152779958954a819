"""Models in PyTorch or in OpenVINO, and their answers to the rows of a table."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
from datasets import Dataset
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from export import check
from export.check import Ask
from export.names import MODEL
from export.origin import Origin
from export.rows import Rows
from export.shapes import Shape
from jpqd import tasks
from jpqd.core import room
from jpqd.core.errors import DataError, UserError
from jpqd.model import families, loading, pooling
from jpqd.model.pooling import Pooling
from jpqd.recipe import plugins
from jpqd.recipe.task import Task
from jpqd.tasks import Columns, Kind

_ROWS = 32
"""The rows of a request, where the model takes any number."""


@dataclass(frozen=True)
class _Sorted(Rows):
    """Rows that are asked for with others of like length, which is fast."""

    def requests(self, shape: Shape) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        lengths = [len(row["input_ids"]) for row in self.tokens]
        order, size = np.argsort(lengths, kind="stable"), shape.batch or _ROWS
        for start in range(0, len(order), size):
            rows = order[start : start + size]
            yield rows, np.resize(rows, shape.batch or len(rows))


@dataclass(frozen=True)
class Model:
    """A loaded model, in PyTorch or in OpenVINO."""

    runtime: str
    precision: str
    """The precision in which it multiplies."""
    loaded: Any
    tokenizer: PreTrainedTokenizerBase
    shape: Shape
    longest: int
    """The most tokens that it takes."""
    pooling: Pooling | None = None
    """The way from an IR's answers to vectors, where these are asked for."""

    def fitted(self, task: Task) -> Task:
        """Cut the task's texts to what the model takes."""
        return task.model_copy(update={"max_length": min(task.max_length, self.longest)})

    def ask(self, rows: Rows) -> Ask:
        if self.runtime == "PyTorch":
            return check.pytorch(self.loaded, rows, self.shape)
        return check.on_tokens(self.loaded, rows, self.shape, self.pooling)


def load(origin: Origin) -> Model:
    """Load a model, or compile an IR as OpenVINO runs it by default."""
    loading.quiet()
    return _load_ir(origin) if (origin.folder / MODEL).is_file() else _load(origin)


def _load(origin: Origin) -> Model:
    origin.refuse_unusable()
    network = loading.load(origin.folder)
    tokenizer = loading.tokenizer_from(origin.folder)
    longest = families.longest(network, tokenizer)
    return Model("PyTorch", "f32", network, tokenizer, Shape(), longest)


def _load_ir(origin: Origin) -> Model:
    """Compile an IR as OpenVINO runs it by default; it takes rows and tokens by its own shape."""
    _ = origin.manifest  # opens the folder, which checks its files
    ir = origin.folder / MODEL
    try:
        tokenizer = AutoTokenizer.from_pretrained(origin.folder, trust_remote_code=False)
        compiled = ov.Core().compile_model(ir, "CPU")
    except (OSError, ValueError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[-1]
        raise UserError(f"{ir} cannot be used: {reason}") from error
    batch, tokens = compiled.input("input_ids").get_partial_shape()
    length = tokens.get_length() if tokens.is_static else None
    shape = Shape(batch.get_length() if batch.is_static else None, length)
    most = length or tokens.get_max_length()
    config = json.loads((origin.folder / "config.json").read_text(encoding="utf-8"))
    longest = most if most > 0 else min(tokenizer.model_max_length, room.tokens(config) or 512)
    precision = ", ".join(sorted(check.matmuls(ir, how={})))
    pools = tasks.pools(origin.folder)
    how = pooling.read(origin.folder) if pools else None
    tokenizer.prompt = pooling.prompt(origin.folder) if pools else ""
    return Model("OpenVINO", precision, compiled, tokenizer, shape, longest, how)


def kind_of(task: Task, table: Dataset, model: Kind, place: Path | str) -> Kind:
    """Return the model's kind with the text that stands in this file for each class."""
    for column in (*task.text, task.label):
        option = "--label" if column == task.label else "--text"
        if column not in table.column_names:
            advice = plugins.unknown(column, table.column_names)
            raise DataError(f"{place}: there is no column {column!r}; {advice}. Set {option}.")
        if not model.reads(task, column, table.features[column]):
            holds = f"column {column!r} holds {table.features[column]}"
            raise DataError(f"{place}: {holds}, which a {model.title} cannot read. Set {option}.")
    feature = table.features[task.label]
    declared = getattr(getattr(feature, "feature", feature), "names", None)
    if declared and set(declared) == set(model.names):
        return replace(model, values=tuple(str(declared.index(name)) for name in model.names))
    return model.find(task, table)


def rows(
    task: Task, table: Dataset, kind: Kind, tokenizer: PreTrainedTokenizerBase, place: Path | str
) -> Rows:
    names = [*task.text, task.label]
    labels = [kind.label(task, row) for row in table.select_columns(names)]
    usable = table.select([row for row, label in enumerate(labels) if label is not None])
    if not len(usable):
        raise DataError(f"{place}: no row has both a text and a label.")
    return encoded(task, {name: usable[name][:] for name in names}, kind, tokenizer)


def encoded(task: Task, given: Columns, kind: Kind, tokenizer: PreTrainedTokenizerBase) -> Rows:
    """Turn columns of texts and labels into rows of tokens."""
    columns = kind.encode(task, given, tokenizer)
    labels, _, _ = (columns.pop(name) for name in ("labels", "lost", "parts"))
    tokens = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    return _Sorted([], tokens, tokenizer, kind, labels, labelled=True)
