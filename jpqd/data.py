"""From a task to tokenized splits: train, what chooses, what is reported; cached by content."""

import json
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset, DatasetDict, load_from_disk
from transformers import PreTrainedTokenizerBase

from jpqd import artifact, labels, plugins, ranks, sources, tables
from jpqd.errors import DataError
from jpqd.labels import Labels
from jpqd.progress import Progress
from jpqd.task import Task

SPLIT_SEED = 20_000
"""Cuts are the same for every training seed, so that seeds can be compared."""


@dataclass(frozen=True)
class Data:
    """Tokenized splits by name; `select` is the one that chooses."""

    splits: DatasetDict
    labels: Labels
    rows: dict[str, dict[str, int]]
    """By split: rows that are used, and rows without text or label."""

    def split(self, name: str) -> Dataset:
        if name not in self.splits:
            raise DataError(f"there is no split {name!r}; there are {', '.join(self.splits)}.")
        return self.splits[name]


def prepare(
    task: Task, tokenizer: PreTrainedTokenizerBase, cache: Path, progress: Progress
) -> Data:
    """Tokenized data from the cache, made first where it is not there yet."""
    folder = cache / f"data-{_fingerprint(task, tokenizer)[:16]}"
    if ranks.is_main() and not (folder / "data.json").is_file():
        _make(task, tokenizer, cache, folder)
    ranks.barrier()
    facts = json.loads((folder / "data.json").read_text())
    data = Data(load_from_disk(str(folder)), Labels(**_tuples(facts["labels"])), facts["rows"])
    _tell(data, progress)
    return data


def _fingerprint(task: Task, tokenizer: PreTrainedTokenizerBase) -> str:
    content = tokenizer.backend_tokenizer.to_str() if tokenizer.is_fast else tokenizer.get_vocab()
    settings = task.model_dump(mode="json", exclude={"name", "metric"})
    return artifact.digest([settings, sources.dataset_identity(task), content])


def _tuples(facts: dict[str, Any]) -> dict[str, Any]:
    return {key: tuple(v) if isinstance(v, list) else v for key, v in facts.items()}


def _tell(data: Data, progress: Progress) -> None:
    progress.say("    data: " + ", ".join(f"{k} {v['used']} rows" for k, v in data.rows.items()))
    for split, rows in data.rows.items():
        if rows["unusable"]:
            count = f"{rows['unusable']} of {rows['used'] + rows['unusable']} rows"
            progress.warn(f"{split}: {count} have no text or no label and are not used")


def _make(task: Task, tokenizer: PreTrainedTokenizerBase, cache: Path, folder: Path) -> None:
    raw = tables.load(task, cache)
    _check_columns(task, raw)
    names = labels.find(task, raw["train"])
    splits, rows = DatasetDict(), {}
    for split, table in cut(task, raw).items():
        used = _usable(task, table, names, split)
        rows[split] = {"used": len(used), "unusable": len(table) - len(used)}
        splits[split] = _tokenize(task, used, names, tokenizer)
    partial = folder.with_name(folder.name + artifact.PARTIAL)
    shutil.rmtree(partial, ignore_errors=True)
    splits.save_to_disk(str(partial))
    artifact.write_json(partial / "data.json", {"labels": asdict(names), "rows": rows})
    shutil.rmtree(folder, ignore_errors=True)
    partial.rename(folder)


def _check_columns(task: Task, raw: DatasetDict) -> None:
    if "train" not in raw:
        raise DataError(f"there is no split 'train'; there are {', '.join(raw) or 'none'}.")
    for split in ("train", task.report_on, task.select_on):
        if split not in raw:
            continue
        for column in (*task.text, task.label):
            if column not in raw[split].column_names:
                advice = plugins.unknown(column, raw[split].column_names)
                raise DataError(f"split {split!r} has no column {column!r}; {advice}.")


def cut(task: Task, raw: DatasetDict) -> dict[str, Dataset]:
    """Seeded cuts from train where the data has no split to report or to choose on."""
    splits = {name: table for name, table in raw.items() if _has_columns(task, table)}
    if task.report_on not in splits:
        splits["train"], splits[task.report_on] = _cut(splits["train"], task.holdout)
    if isinstance(task.select_on, float):
        splits["train"], splits["select"] = _cut(splits["train"], task.select_on)
    elif task.select_on in splits:
        splits["select"] = splits[task.select_on]
    else:
        raise DataError(f"select_on: there is no split {task.select_on!r} ({', '.join(splits)}).")
    return splits


def _has_columns(task: Task, table: Dataset) -> bool:
    return {*task.text, task.label} <= set(table.column_names)


def _cut(table: Dataset, share: float) -> tuple[Dataset, Dataset]:
    order = np.random.default_rng(SPLIT_SEED).permutation(len(table))
    size = max(1, round(len(table) * share))
    if size >= len(table):
        raise DataError(f"{len(table)} rows of train are too few to cut {share:.0%} from.")
    return table.select(np.sort(order[size:])), table.select(np.sort(order[:size]))


def _usable(task: Task, table: Dataset, names: Labels, split: str) -> Dataset:
    """Rows with text and label. Too many without are refused, none goes in silence."""
    columns = [*task.text, task.label]

    def keep(*cells: list[Any]) -> list[bool]:
        return [
            not any(labels.is_missing(cell) for cell in row[:-1])
            and names.number(row[-1]) is not None
            for row in zip(*cells, strict=True)
        ]

    used = table.filter(keep, batched=True, input_columns=columns)
    unusable = len(table) - len(used)
    unlabelled_test = not len(used) and split not in ("train", "select", task.report_on)
    if unusable > task.max_unusable * len(table) and not unlabelled_test:
        raise DataError(
            f"split {split!r}: {unusable} of {len(table)} rows have no text or a label that train "
            f"does not have (more than max_unusable {task.max_unusable:.1%}); "
            f"the first is row {_first_unusable(table, keep, columns)}. Mend the data, "
            "or raise task.max_unusable."
        )
    return used


def _first_unusable(table: Dataset, keep: Any, columns: list[str]) -> str:
    for start in range(0, len(table), 1000):
        rows = table[start : start + 1000]
        for offset, usable in enumerate(keep(*(rows[column] for column in columns))):
            if not usable:
                cells = {column: rows[column][offset] for column in columns}
                return f"{start + offset + 1}: {cells}"
    return "unknown"


def _tokenize(
    task: Task, table: Dataset, names: Labels, tokenizer: PreTrainedTokenizerBase
) -> Dataset:
    kept = ["input_ids", "token_type_ids"] if len(task.text) == 2 else ["input_ids"]

    def encode(rows: dict[str, list[Any]]) -> dict[str, list[Any]]:
        texts = [[str(cell) for cell in rows[column]] for column in task.text]
        encoded = tokenizer(*texts, truncation=True, max_length=task.max_length)
        columns = {name: encoded[name] for name in kept if name in encoded}
        columns["length"] = [len(ids) for ids in columns["input_ids"]]
        columns["labels"] = [names.number(cell) for cell in rows[task.label]]
        return columns

    return table.map(encode, batched=True, remove_columns=table.column_names)
