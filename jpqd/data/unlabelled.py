"""Texts without labels beside the rows of train, for methods that ask no labels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from datasets import Dataset, DatasetDict, concatenate_datasets, load_from_disk
from filelock import FileLock
from transformers import PreTrainedTokenizerBase

from jpqd.core import cached, processes, seals
from jpqd.core.errors import DataError, UserError
from jpqd.core.progress import Progress
from jpqd.data import sources, splits, texts
from jpqd.data.splits import Data
from jpqd.recipe.task import Task
from jpqd.tasks import Kind

_UNREAD = ("lost", "parts")
"""Columns that count what was cut; nothing is reported of these texts."""


def added(
    data: Data,
    files: Sequence[str],
    task: Task,
    tokenizer: PreTrainedTokenizerBase,
    cache: Path,
    progress: Progress,
) -> Data:
    """Return the data with a row of train for every text of the files."""
    if not files:
        return data
    if not data.kind.one_answer:
        raise UserError(
            f"texts: a {data.kind.title} reads words, and a file has a text in each line. "
            "Leave them out."
        )
    content = [sources.identity(file) for file in files]
    digest = seals.digest([splits.fingerprint(task, tokenizer), content])
    folder = cache / f"texts-{digest[:16]}"
    if processes.is_main():
        with FileLock(folder.with_suffix(".lock")):
            if not cached.is_whole(folder, progress):
                table = _table(_tokenized(files, task, data, tokenizer), data, files, progress)
                cached.put(folder, lambda out: table.save_to_disk(str(out)))
    processes.barrier()
    return _joined(data, load_from_disk(str(folder)), digest, progress)


def _joined(data: Data, more: Dataset, digest: str, progress: Progress) -> Data:
    progress.say(f"    train: {len(more)} texts without labels beside its rows")
    train = concatenate_datasets([data.splits["train"], more])
    rows = {**data.rows, "train": {**data.rows["train"], "unlabelled": len(more)}}
    whole = DatasetDict({**data.splits, "train": train})
    return replace(data, splits=whole, rows=rows, texts=digest)


def _table(
    columns: Iterator[dict[str, list[Any]]], data: Data, files: Sequence[str], progress: Progress
) -> Dataset:
    counter, features = progress.counting("    tokenized", "texts"), data.splits["train"].features
    parts = []
    for part in columns:
        parts.append(Dataset.from_dict(part, features=features))
        counter(len(parts[-1]))
    if not parts:
        raise DataError(f"{', '.join(files)}: there is no text in it. Write one in each line.")
    return concatenate_datasets(parts)


def _tokenized(
    files: Sequence[str], task: Task, data: Data, tokenizer: PreTrainedTokenizerBase
) -> Iterator[dict[str, list[Any]]]:
    """Tokenize as train is; the label 0 is never read."""
    first = data.of_train
    for file in files:
        for lines in texts.lines(file):
            encoded = data.kind.encode(*_read(lines, task, data.kind, file), tokenizer)
            kept = {name: values for name, values in encoded.items() if name not in _UNREAD}
            kept["length"] = [len(ids) for ids in kept["input_ids"]]
            kept["row"] = list(range(first, first + len(lines)))
            first += len(lines)
            yield kept


def _read(lines: list[str], task: Task, kind: Kind, file: str) -> tuple[Task, dict[str, list[Any]]]:
    """Return lines as rows of the task, or of one text where each text is a row of its own."""
    if kind.vectors:
        return task.model_copy(update={"text": ("text",), "label": "text"}), {"text": lines}
    columns = _columns(lines, task, file)
    label = kind.values[0] if kind.values else "0"
    return task, {task.label: [label] * len(lines), **columns}


def _columns(lines: list[str], task: Task, file: str) -> dict[str, list[Any]]:
    """Read one text from each line, or two with a tab between."""
    if len(task.text) == 1:
        return {task.text[0]: lines}
    pairs = [line.split("\t") for line in lines]
    for line, pair in zip(lines, pairs, strict=True):
        if len(pair) != len(task.text):
            raise DataError(
                f"{file}: the task has two texts, and the line {line[:60]!r} holds {len(pair)}. "
                "Write them with a tab between."
            )
    first, second = zip(*pairs, strict=True)
    return {task.text[0]: list(first), task.text[1]: list(second)}
