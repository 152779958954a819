"""`jpqd evaluate`: the figures of a model, or of its IR, on any file of rows with labels."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table

from export import answering, check
from export.origin import Origin
from jpqd import tasks
from jpqd.core import terminal
from jpqd.core.errors import UserError
from jpqd.core.progress import Progress
from jpqd.data import sources, tables
from jpqd.recipe.task import Task
from jpqd.report import words
from jpqd.scores import metrics
from jpqd.tasks import Kind

_WIDEST = 12
"""The most classes whose answers fit a terminal side by side."""


@dataclass(frozen=True)
class Columns:
    """The file, and the names of its columns where they are not the task's."""

    file: Path
    text: tuple[str, ...] = ()
    label: str | None = None


def evaluate(origin: Origin, given: Columns, progress: Progress) -> dict[str, Any]:
    """Answer every usable row of a file, and return the figures of the answers."""
    place = sources.local_file(str(given.file))
    model = answering.load(origin)
    if tasks.of_folder(origin.folder).rows_are_text:
        raise UserError(
            f"{origin.folder}: a language model has no answers to rows. Its IR's stage measures it "
            "on the task's text; give another text as the recipe's dataset."
        )
    tokenizer = model.tokenizer
    task = _task(origin, given, model.longest)
    table = tables.read(place, origin.cache / "tables")
    kind = answering.kind_of(task, table, _kind(origin), place)
    rows = answering.rows(task, table, kind, tokenizer, place)
    used = len(rows.tokens) // len(kind.numbers(task, [0]))
    if unusable := len(table) - used:
        progress.warn(f"{place}: {unusable} of {len(table)} rows have no text or no label")
    found = check.answers(model.ask(rows), rows, model.shape)
    figures = {**kind.score(found), **kind.figures(found)}
    if kind.main(found) not in figures:
        raise UserError(f"{place}: nothing says what is right. Name the column with --label.")
    if "pearson" in figures:
        figures["pearson_95"] = metrics.fisher(figures["pearson"], found.count)
    return {
        "model": str(origin.folder),
        "runtime": model.runtime,
        "precision": model.precision,
        "data": str(place),
        "rows": {"used": used, "unusable": unusable},
        "task": kind.use,
        "figures": figures,
        "classes": kind.classes([found]),
    }


def _task(origin: Origin, given: Columns, longest: int) -> Task:
    """Return the run's task, or one of the model's kind, with the columns that were given."""
    kind = _kind(origin)
    task = origin.task or kind.keys(name="file", dataset=str(given.file), max_length=longest)
    text = given.text or task.text
    label = given.label or (task.label if text == task.text or not kind.follows else text[0])
    if (wanted := _texts(origin)) not in (None, len(text)) and not kind.vectors:
        reads = "two texts" if wanted == 2 else "one"
        raise UserError(
            f"--text {','.join(text)}: {origin.folder} reads {reads} in a row. Name {wanted} of "
            "the columns."
        )
    if kind.vectors and label not in text and len(text) != 2:
        raise UserError(f"--label {label}: it scores a pair. Give two columns, --text A,B.")
    return task.model_copy(
        update={
            "text": text,
            "label": label,
            "labels": kind.names,
            "max_length": min(task.max_length, longest),
        }
    )


def _texts(origin: Origin) -> int | None:
    """Return the number of texts in a row; None where nothing says it for sure."""
    if origin.task is not None:
        return len(origin.task.text)
    told = origin.manifest.metrics.get("texts") if origin.manifest else None
    return told if told == 2 else None


def _kind(origin: Origin) -> Kind:
    """Return the kind of the run's task where a head does not tell it, else that of the model."""
    if origin.task is not None and origin.task.use is not None:
        told = tasks.load(origin.task.use)
        if told.follows:
            return told()
    return tasks.of_folder(origin.folder)


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
