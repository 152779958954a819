"""`jpqd evaluate`: the figures of a model, or of its IR, on any file of rows with labels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
from datasets import Dataset
from rich.console import Group, RenderableType
from rich.table import Table
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from export import check
from export.check import Ask
from export.names import MODEL
from export.origin import Origin
from export.rows import Rows
from export.shapes import Shape
from jpqd import tasks
from jpqd.core import terminal
from jpqd.core.errors import DataError, UserError
from jpqd.core.progress import Progress
from jpqd.data import sources, tables
from jpqd.model import families, loading
from jpqd.recipe import plugins
from jpqd.recipe.task import Task
from jpqd.report import words
from jpqd.scores import metrics
from jpqd.tasks import Kind

_ROWS = 32
"""The rows of a request, where the model takes any number."""
_WIDEST = 12
"""The most classes whose answers fit a terminal side by side."""


@dataclass(frozen=True)
class Columns:
    """The file, and the names of its columns where they are not the task's."""

    file: Path
    text: tuple[str, ...] = ()
    label: str | None = None


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
class _Model:
    """A loaded model, in PyTorch or in OpenVINO."""

    runtime: str
    precision: str
    """The precision in which it multiplies."""
    loaded: Any
    tokenizer: PreTrainedTokenizerBase
    shape: Shape
    longest: int
    """The most tokens that it takes."""

    def ask(self, rows: Rows) -> Ask:
        if self.runtime == "PyTorch":
            return check.pytorch(self.loaded, rows, self.shape)
        return check.on_tokens(self.loaded, rows, self.shape)


def evaluate(origin: Origin, given: Columns, progress: Progress) -> dict[str, Any]:
    """Answer every usable row of a file, and return the figures of the answers."""
    loading.quiet()
    place = sources.local_file(str(given.file))
    model = _load_ir(origin) if (origin.folder / MODEL).is_file() else _load(origin)
    if tasks.of_folder(origin.folder).rows_are_text:
        raise UserError(
            f"{origin.folder}: a language model has no answers to rows. Its IR's stage measures it "
            "on the task's text; give another text as the recipe's dataset."
        )
    tokenizer = model.tokenizer
    task = _task(origin, given, model.longest)
    table = tables.read(place, origin.cache / "tables")
    kind = _kind(task, table, tasks.of_folder(origin.folder), place)
    rows = _rows(task, table, kind, tokenizer, place)
    if unusable := len(table) - len(rows.tokens):
        progress.warn(f"{place}: {unusable} of {len(table)} rows have no text or no label")
    found = check.answers(model.ask(rows), rows, model.shape)
    figures = {**kind.score(found), **kind.figures(found)}
    if "pearson" in figures:
        figures["pearson_95"] = metrics.fisher(figures["pearson"], found.count)
    return {
        "model": str(origin.folder),
        "runtime": model.runtime,
        "precision": model.precision,
        "data": str(place),
        "rows": {"used": len(rows.tokens), "unusable": unusable},
        "task": kind.use,
        "figures": figures,
        "classes": kind.classes([found]),
    }


def _load(origin: Origin) -> _Model:
    origin.refuse_unusable()
    network = loading.load(origin.folder)
    tokenizer = loading.tokenizer_from(origin.folder)
    longest = families.longest(network, tokenizer)
    return _Model("PyTorch", "f32", network, tokenizer, Shape(), longest)


def _load_ir(origin: Origin) -> _Model:
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
    longest = most if most > 0 else tokenizer.model_max_length
    precision = ", ".join(sorted(check.matmuls(ir, how={})))
    return _Model("OpenVINO", precision, compiled, tokenizer, shape, longest)


def _task(origin: Origin, given: Columns, longest: int) -> Task:
    """Return the run's task, or one of the model's kind, with the columns that were given."""
    kind = tasks.of_folder(origin.folder)
    task = origin.task or kind.keys(name="file", dataset=str(given.file), max_length=longest)
    return task.model_copy(
        update={
            "text": given.text or task.text,
            "label": given.label or task.label,
            "labels": kind.names,
            "max_length": min(task.max_length, longest),
        }
    )


def _kind(task: Task, table: Dataset, model: Kind, place: Path) -> Kind:
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


def _rows(
    task: Task, table: Dataset, kind: Kind, tokenizer: PreTrainedTokenizerBase, place: Path
) -> Rows:
    names = [*task.text, task.label]
    labels = [kind.label(task, row) for row in table.select_columns(names)]
    usable = table.select([row for row, label in enumerate(labels) if label is not None])
    if not len(usable):
        raise DataError(f"{place}: no row has both a text and a label.")
    columns = kind.encode(task, {name: usable[name][:] for name in names}, tokenizer)
    labels, _, _ = (columns.pop(name) for name in ("labels", "lost", "parts"))
    tokens = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    return _Sorted([], tokens, tokenizer, kind, labels, labelled=True)


def show(result: dict[str, Any]) -> Group:
    """Return tables for the terminal: the figures, and those of each class."""
    n = result["figures"]["n"]
    how = f"{result['runtime']}, {result['precision']}"
    title = f"{result['model']} ({how}) on {result['data']}, n = {n:,}"
    parts: list[RenderableType] = [title, _figures(result["figures"])]
    if result["classes"]:
        parts.append(_classes(**result["classes"]))
    return Group(*parts)


def _figures(figures: dict[str, Any]) -> Table:
    table = _table("Figures", "figure", "value", words.INTERVAL)
    for name, value in figures.items():
        if name != "n" and not name.endswith("_95"):
            text = f"{value:,}" if isinstance(value, int) else words.score(name, value)
            interval = words.score(name, value, figures.get(f"{name}_95")).partition(" ")[2]
            table.add_row(words.titled(name), text, interval)
    return table


def _classes(each: list[dict[str, Any]], confusion: list[list[int]]) -> Table:
    """Make a table of classes, with the answers that their rows got where these fit."""
    names = [str(one["class"]) for one in each]
    answers = [f"as {name}" for name in names] if len(names) <= _WIDEST else []
    table = _table("Classes, %", "class", "n", "precision", "recall", "f1", *answers)
    for one, counts in zip(each, confusion, strict=True):
        shares = (f"{100 * one[name]:.2f}" for name in ("precision", "recall", "f1"))
        answered = [f"{count:,}" for count in counts[: len(answers)]]
        table.add_row(str(one["class"]), f"{one['n']:,}", *shares, *answered)
    return table


def _table(title: str, *columns: str) -> Table:
    table = terminal.new_table(title)
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number else "left", overflow="fold")
    return table
