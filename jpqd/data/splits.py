"""Tokenized splits of a task: train, `select`, and the reported split; cached by content."""

import json
import reprlib
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset, DatasetDict, load_from_disk
from filelock import FileLock
from transformers import PreTrainedTokenizerBase

from jpqd import tasks
from jpqd.core import files, processes, seals
from jpqd.core.errors import DataError
from jpqd.core.progress import Progress
from jpqd.data import sources, tables
from jpqd.recipe import plugins
from jpqd.recipe.task import Task
from jpqd.tasks import Kind

SPLIT_SEED = 20_000
"""Cuts are the same for every training seed, so that seeds can be compared."""
_LAYOUT = 4
"""The version of the cached columns: raised when they change."""
_ROW = "__row__"


@dataclass(frozen=True)
class Data:
    """Tokenized splits by name; the split `select` chooses the checkpoint."""

    splits: DatasetDict
    kind: Kind
    rows: dict[str, dict[str, int]]
    """Numbers of rows by split: used ones, and ones without a usable text or label."""
    of_train: int
    """The number of rows of train in the data, before anything was left out or cut."""
    held_out: tuple[str, ...] = ()
    """The splits that were cut from train."""

    def facts(self) -> dict[str, Any]:
        """Return the facts for the manifest, which accounts for every row."""
        return {"task": self.kind.use, "rows": self.rows, "cut_from_train": list(self.held_out)}

    def split(self, name: str) -> Dataset:
        name = tables.canonical(name)
        if name in self.splits:
            return self.splits[name]
        if name in self.rows:
            raise DataError(f"split {name!r} has no row with both text and label to measure.")
        raise DataError(f"there is no split {name!r}; {plugins.unknown(name, self.splits)}.")


def column(split: Dataset, name: str) -> np.ndarray:
    """Return a column as an array: thirty times as fast as a list for a million rows."""
    values: np.ndarray = split.with_format("numpy")[name][:]
    return values


def prepare(
    task: Task, tokenizer: PreTrainedTokenizerBase, cache: Path, progress: Progress
) -> Data:
    """Return tokenized data from the cache; make it first where it is not there."""
    _check_length(task, tokenizer)
    folder = cache / f"data-{fingerprint(task, tokenizer)[:16]}"
    if processes.is_main():
        _make_once(task, tokenizer, cache, folder)
    processes.barrier()
    facts = json.loads((folder / "data.json").read_text())
    splits, kind = load_from_disk(str(folder)), tasks.of_facts(facts["kind"])
    held_out = tuple(facts["held_out"])
    data = Data(splits, kind, facts["rows"], facts["of_train"], held_out)
    _report_rows(data, progress)
    return data


def _check_length(task: Task, tokenizer: PreTrainedTokenizerBase) -> None:
    if task.max_length > tokenizer.model_max_length:
        raise DataError(
            f"task.max_length is {task.max_length}, but the model's tokenizer says at most "
            f"{tokenizer.model_max_length}. Set task.max_length to that or less."
        )


def fingerprint(task: Task, tokenizer: PreTrainedTokenizerBase) -> str:
    """Return the hash of the tokenized rows: the same for the same content."""
    settings = task.model_dump(mode="json", exclude={"name", "metric"})
    content = sources.dataset_identity(task)
    return seals.digest([_LAYOUT, settings, content, _identity(tokenizer)])


def _identity(tokenizer: PreTrainedTokenizerBase) -> list[Any]:
    """Return a tokenizer's content without the truncation and padding of its last call."""
    if not tokenizer.is_fast:
        content = tokenizer.get_vocab()
    else:
        content = json.loads(tokenizer.backend_tokenizer.to_str())
        content = {k: v for k, v in content.items() if k not in ("truncation", "padding")}
    return [content, tokenizer.truncation_side, tokenizer.model_input_names]


def _report_rows(data: Data, progress: Progress) -> None:
    counts = [
        f"{split} {rows['used']} rows" + (" (cut from train)" if split in data.held_out else "")
        for split, rows in data.rows.items()
    ]
    progress.say("    data: " + ", ".join(counts))
    for split, rows in data.rows.items():
        if rows["unusable"]:
            progress.warn(
                f"{split}: {rows['unusable']} rows are not used: they have no text, or no label "
                "that train knows"
            )


def _make_once(task: Task, tokenizer: PreTrainedTokenizerBase, cache: Path, folder: Path) -> None:
    """Make the data under a lock: runs of one folder share the cache."""
    cache.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_suffix(".lock")):
        if not (folder / "data.json").is_file():
            _make(task, tokenizer, cache, folder)


def _make(task: Task, tokenizer: PreTrainedTokenizerBase, cache: Path, folder: Path) -> None:
    raw = tables.load(task, cache)
    _check_columns(task, raw)
    _check_types(task, raw, tasks.of_columns(task, raw["train"]))
    kind = tasks.of_data(task, raw["train"])
    usable = DatasetDict({split: _usable(task, raw, kind, split) for split in raw})
    splits = cut(task, usable)
    facts = {
        "kind": kind.facts(),
        "rows": _counts(raw, usable, splits),
        "of_train": len(raw["train"]),
        "held_out": _held_out(task, raw),
    }
    tokens = {split: _tokenize(task, rows, kind, tokenizer) for split, rows in splits.items()}
    partial = folder.with_name(folder.name + files.PARTIAL)
    shutil.rmtree(partial, ignore_errors=True)
    DatasetDict(tokens).save_to_disk(str(partial))
    files.write_json(partial / "data.json", facts)
    shutil.rmtree(folder, ignore_errors=True)
    partial.rename(folder)


def _counts(
    raw: DatasetDict, usable: DatasetDict, splits: dict[str, Dataset]
) -> dict[str, dict[str, int]]:
    """Count the rows of every split of the data, used and unusable, so that none is unaccounted."""
    return {
        split: {
            "used": len(splits.get(split, ())),
            "unusable": len(raw[split]) - len(usable[split]) if split in raw else 0,
        }
        for split in [*splits, *(name for name in raw if name not in splits)]
    }


def _held_out(task: Task, raw: DatasetDict) -> list[str]:
    report = tables.canonical(task.report_on)
    chooses = ["select"] if isinstance(task.select_on, float) else []
    return ([] if report in raw else [report]) + chooses


def _needed(task: Task) -> set[str]:
    chooses = {tables.canonical(task.select_on)} if isinstance(task.select_on, str) else set()
    return {"train", tables.canonical(task.report_on)} | chooses


def train_texts(task: Task, cache: Path) -> list[str]:
    """Return all texts of train, for a tokenizer that is trained on them."""
    raw = tables.load(task, cache)
    _check_columns(task, raw)
    kind = tasks.of_data(task, raw["train"])
    columns = raw["train"].select_columns([*task.text])
    usable = (row for row in columns if all(row[column] is not None for column in task.text))
    return [text for row in usable for text in kind.texts(task, row)]


def _check_columns(task: Task, raw: DatasetDict) -> None:
    if "train" not in raw:
        raise DataError(f"there is no split 'train'; the data has {', '.join(raw) or 'none'}.")
    for split in _needed(task) & set(raw):
        for column in (*task.text, task.label):
            if column not in raw[split].column_names:
                advice = plugins.unknown(column, raw[split].column_names)
                raise DataError(f"split {split!r} has no column {column!r}; {advice}.")


def _check_types(task: Task, raw: DatasetDict, kind: type[Kind]) -> None:
    for split, table in raw.items():
        for column in [c for c in (*task.text, task.label) if c in table.column_names]:
            feature = table.features[column]
            if not kind.reads(task, column, feature):
                wanted = "labels" if column == task.label else "texts"
                raise DataError(
                    f"split {split!r}: column {column!r} holds {feature}, but a {kind.title} needs "
                    f"{wanted}. Write every value as a text of its own, in quotes where "
                    "the format has them."
                )


def cut(task: Task, usable: DatasetDict) -> dict[str, Dataset]:
    """Cut splits from train, with a fixed seed, where the data has none to report or select on."""
    report = tables.canonical(task.report_on)
    if "select" in (report, *usable):
        raise DataError(
            "a split cannot be called 'select': jpqd uses this name for the rows that choose the "
            "checkpoint. Rename the split."
        )
    splits = {name: table for name, table in usable.items() if len(table)}
    if report not in splits:
        splits["train"], splits[report] = _cut(splits["train"], task.holdout)
    if isinstance(task.select_on, float):
        splits["train"], splits["select"] = _cut(splits["train"], task.select_on)
    else:
        splits["select"] = _chosen(task.select_on, report, splits)
    if task.train_rows is not None and task.train_rows < len(splits["train"]):
        _, splits["train"] = _cut(splits["train"], task.train_rows / len(splits["train"]))
    return splits


def _chosen(select_on: str, report: str, splits: dict[str, Dataset]) -> Dataset:
    select = tables.canonical(select_on)
    if select == report:
        raise DataError(
            f"select_on and report_on are both the split {report!r}. Choose another for select_on."
        )
    if select not in splits:
        raise DataError(
            f"select_on: there is no split {select!r}; {plugins.unknown(select, splits)}."
        )
    return splits[select]


def _cut(table: Dataset, share: float) -> tuple[Dataset, Dataset]:
    order = np.random.default_rng(SPLIT_SEED).permutation(len(table))
    size = max(1, round(len(table) * share))
    if size >= len(table):
        raise DataError(
            f"{len(table)} rows of train are too few to cut {share:.0%} from. "
            "Add rows, or add splits of your own for report_on and select_on."
        )
    return table.select(np.sort(order[size:])), table.select(np.sort(order[:size]))


def _usable(task: Task, raw: DatasetDict, kind: Kind, split: str) -> Dataset:
    """Return the rows with text and label; refuse the data where too many have none."""
    table, columns = raw[split], [*task.text, task.label]
    if not {*columns} <= set(table.column_names):
        return table.select([])

    def keep(*cells: list[Any]) -> list[bool]:
        rows = (dict(zip(columns, row, strict=True)) for row in zip(*cells, strict=True))
        return [kind.label(task, row) is not None for row in rows]

    numbered = table.add_column(_ROW, np.arange(len(table)))
    used = numbered.filter(keep, batched=True, input_columns=columns)
    if split not in _needed(task) and not len(used):
        return used  # a test split whose labels are kept secret
    unusable = len(table) - len(used)
    if unusable > task.max_unusable * len(table) or not len(used):
        raise DataError(
            f"split {split!r}: {unusable} of {len(table)} rows have no text, or no label that "
            f"train knows (more than max_unusable {task.max_unusable:.1%}). "
            f"The first is {_first_unusable(table, keep, columns)}. "
            "Correct the data, or raise task.max_unusable."
        )
    return used


def _first_unusable(table: Dataset, keep: Any, columns: list[str]) -> str:
    """Name the first unusable row, counted from 1 below the header."""
    for start in range(0, len(table), 1000):
        rows = table[start : start + 1000]
        for offset, usable in enumerate(keep(*(rows[column] for column in columns))):
            if not usable:
                cells = [f"{column}: {reprlib.repr(rows[column][offset])}" for column in columns]
                return f"row {start + offset + 1} ({', '.join(cells)})"
    return "unknown"


def _tokenize(
    task: Task, table: Dataset, kind: Kind, tokenizer: PreTrainedTokenizerBase
) -> Dataset:
    wanted = [*task.text, task.label]

    def encode(rows: dict[str, list[Any]]) -> dict[str, list[Any]]:
        columns = kind.encode(task, {column: rows[column] for column in wanted}, tokenizer)
        columns["length"] = [len(ids) for ids in columns["input_ids"]]
        columns["row"] = rows[_ROW]  # as the data numbers its rows, from 0
        return columns

    return table.map(encode, batched=True, remove_columns=table.column_names)
