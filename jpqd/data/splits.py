"""Tokenized splits of a task: train, `select`, and the reported split; cached by content."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset, DatasetDict, load_from_disk
from filelock import FileLock
from transformers import PreTrainedTokenizerBase

from jpqd import tasks
from jpqd.core import cached, files, processes, seals
from jpqd.core.errors import DataError
from jpqd.core.progress import Progress
from jpqd.data import cuts, headers, sources, tables, usable
from jpqd.recipe import plugins
from jpqd.recipe.task import Task
from jpqd.tasks import Kind
from jpqd.tasks.causal_lm import unknown_token

_LAYOUT = 7
"""The version of the cached columns: raised when they change."""
_FACTS = "data.json"
_COUNTS = ["lost", "parts", "unknown"]
"""Columns that are summed and not kept."""
_MANY_UNKNOWN = 0.05
"""The share of unknown tokens in train from which a tokenizer does not fit the texts."""
_MANY_REPEATED = 0.01
"""The share of a split's texts in train from which its figures are too good."""


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
    truncated: dict[str, float] = field(default_factory=dict)
    """The share of texts (or of words, where each has a label) lost beyond `max_length`."""
    unknown: dict[str, float] = field(default_factory=dict)
    """The share of tokens that the tokenizer does not know, special ones aside."""
    repeated: dict[str, float] = field(default_factory=dict)
    """The share of a split's texts that stand in train too."""
    texts: str | None = None
    """The hash of texts without labels that stand in train after its own rows."""

    def facts(self) -> dict[str, Any]:
        """Return the facts for the manifest, which accounts for every row."""
        return {
            "task": self.kind.use,
            "rows": self.rows,
            "cut_from_train": list(self.held_out),
            "truncated": self.truncated,
            "unknown": self.unknown,
        }

    @property
    def labelled(self) -> int:
        """Return the number of train's rows that have a label. They come first."""
        return len(self.splits["train"]) - self.rows["train"].get("unlabelled", 0)

    def split(self, name: str) -> Dataset:
        name = sources.canonical(name)
        if name in self.splits:
            return self.splits[name]
        if name in self.rows:
            raise DataError(f"split {name!r} has no row with both text and label to measure.")
        raise DataError(f"there is no split {name!r}; {plugins.unknown(name, self.splits)}.")


def column(split: Dataset, name: str) -> np.ndarray:
    """Return a column as an array: thirty times as fast as a list for a million rows."""
    values: np.ndarray = split.with_format("numpy")[name][:]
    return values


def ids(split: Dataset) -> np.ndarray:
    """Return the tokens of all texts, one text after the other."""
    column = split.with_format("arrow")[:]["input_ids"].combine_chunks()
    tokens: np.ndarray = column.flatten().to_numpy().astype(np.int64)
    return tokens


def prepare(
    task: Task, tokenizer: PreTrainedTokenizerBase, cache: Path, progress: Progress
) -> Data:
    """Return tokenized data from the cache; make it first where it is not there."""
    _check_length(task, tokenizer)
    folder = cache / f"data-{fingerprint(task, tokenizer)[:16]}"
    if processes.is_main():
        _make_once(task, tokenizer, cache, folder, progress)
    processes.barrier()
    facts = json.loads((folder / _FACTS).read_text())
    splits, kind = load_from_disk(str(folder)), tasks.of_facts(facts["kind"])
    held_out = tuple(facts["held_out"])
    shares = {name: facts[name] for name in ("truncated", "unknown", "repeated")}
    data = Data(splits, kind, facts["rows"], facts["of_train"], held_out, **shares)
    _report_rows(data, task, progress)
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
    # A window of running text begins with a token that the tokenizer's own file does not name.
    names = ("bos_token_id", "eos_token_id", "unk_token_id") if task.use == "causal_lm" else ()
    special = [getattr(tokenizer, name) for name in names]
    return seals.digest([_LAYOUT, settings, content, identity(tokenizer), *special])


def identity(tokenizer: PreTrainedTokenizerBase) -> list[Any]:
    """Return a tokenizer's content without the truncation and padding of its last call."""
    if not tokenizer.is_fast:
        content = tokenizer.get_vocab()
    else:
        content = json.loads(tokenizer.backend_tokenizer.to_str())
        content = {k: v for k, v in content.items() if k not in ("truncation", "padding")}
    prompt = getattr(tokenizer, "prompt", "")
    known = [content, tokenizer.truncation_side, tokenizer.model_input_names]
    return [*known, prompt] if prompt else known


def _report_rows(data: Data, task: Task, progress: Progress) -> None:
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
    for split, share in data.repeated.items():
        if share > _MANY_REPEATED:
            progress.warn(
                f"{split}: {share:.1%} of its texts stand in train too, so figures on them are too "
                "good. Remove what is there twice, or give a split of its own"
            )
    for split, share in data.truncated.items():
        if share:
            lost = "texts are cut" if data.kind.one_answer else "words are lost"
            progress.say(f"    {split}: {share:.1%} of the {lost} at {task.max_length} tokens")
    if (share := data.unknown["train"]) > _MANY_UNKNOWN:
        progress.warn(
            f"train: {share:.1%} of the tokens are unknown to the model's tokenizer, which reads "
            "them all alike; a model for the language and the letters of these texts knows them"
        )


def _make_once(
    task: Task, tokenizer: PreTrainedTokenizerBase, cache: Path, folder: Path, progress: Progress
) -> None:
    """Make the data under a lock: runs of one folder share the cache."""
    cache.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_suffix(".lock")):
        if not cached.is_whole(folder, progress):
            cached.put(folder, lambda out: _make(task, tokenizer, cache, out, progress))


def _make(
    task: Task, tokenizer: PreTrainedTokenizerBase, cache: Path, out: Path, progress: Progress
) -> None:
    raw = tables.load(task, cache, progress)
    usable.check_columns(task, raw)
    usable.check_types(task, raw, tasks.of_columns(task, raw["train"]))
    raw = headers.as_train(task, raw, usable.needed(task))
    kind = tasks.of_data(task, raw["train"])
    used = DatasetDict({split: usable.rows(task, raw, kind, split) for split in raw})
    splits = cuts.cut(task, used, in_order=kind.rows_are_text, together=kind.together(task))
    facts = {
        "kind": kind.facts(),
        "rows": _counts(raw, used, splits),
        "of_train": len(kind.numbers(task, range(len(raw["train"])))),
        "held_out": cuts.held_out(task, raw),
        "repeated": {} if kind.rows_are_text else cuts.repeated(task, splits, raw),
    }
    counter = progress.counting("    tokenized", "rows")
    tokens = {s: _tokenize(task, rows, kind, tokenizer, counter) for s, rows in splits.items()}
    joined = len(task.text) == 2 and not kind.vectors
    added = tokenizer.num_special_tokens_to_add(pair=joined)
    truncated = {split: _share_lost(table) for split, table in tokens.items()}
    unknown = {split: _share_unknown(table, added) for split, table in tokens.items()}
    kept = {split: table.remove_columns(_COUNTS) for split, table in tokens.items()}
    DatasetDict(kept).save_to_disk(str(out))
    files.write_json(out / _FACTS, {**facts, "truncated": truncated, "unknown": unknown})
    for table in raw.values():
        table.cleanup_cache_files()  # what the library kept of this work has no hash


def _share_lost(table: Dataset) -> float:
    lost, parts = (int(column(table, name).sum()) for name in ("lost", "parts"))
    return lost / max(parts, 1)


def _share_unknown(table: Dataset, added: int) -> float:
    """`added` is the number of special tokens in each row."""
    unknown, tokens = (int(column(table, name).sum()) for name in ("unknown", "length"))
    return unknown / max(tokens - added * len(table), 1)


def _counts(
    raw: DatasetDict, used: DatasetDict, splits: dict[str, Dataset]
) -> dict[str, dict[str, int]]:
    """Count the rows of every split of the data, used and unusable, so that none is unaccounted."""
    return {
        split: {
            "used": len(splits.get(split, ())),
            "unusable": len(raw[split]) - len(used[split]) if split in raw else 0,
        }
        for split in [*splits, *(name for name in raw if name not in splits)]
    }


def train_texts(task: Task, cache: Path) -> list[str]:
    """Return all texts of train, for a tokenizer that is trained on them."""
    raw = tables.load(task, cache)
    usable.check_columns(task, raw)
    kind = tasks.of_data(task, raw["train"])
    columns = raw["train"].select_columns([*task.text])
    complete = (row for row in columns if all(row[column] is not None for column in task.text))
    return [text for row in complete for text in kind.texts(task, row)]


def _tokenize(
    task: Task,
    table: Dataset,
    kind: Kind,
    tokenizer: PreTrainedTokenizerBase,
    counter: Callable[[int], None],
) -> Dataset:
    columns = dict.fromkeys([*task.text, task.label])
    wanted = [column for column in columns if column in table.column_names]
    if kind.rows_are_text:
        return _as_one(kind.encode(task, table.select_columns(wanted)[:], tokenizer), tokenizer)

    def encode(rows: dict[str, list[Any]]) -> dict[str, list[Any]]:
        columns = kind.encode(task, {column: rows[column] for column in wanted}, tokenizer)
        _count(columns, tokenizer.unk_token_id)
        columns["row"] = kind.numbers(task, rows[usable.ROW])
        counter(len(columns["row"]))
        return columns

    return table.map(
        encode, batched=True, remove_columns=table.column_names, load_from_cache_file=False
    )


def _as_one(columns: tasks.Columns, tokenizer: PreTrainedTokenizerBase) -> Dataset:
    """Make a table of the windows of one text, which have numbers of their own."""
    _count(columns, unknown_token(tokenizer))
    return Dataset.from_dict({**columns, "row": list(range(len(columns["length"])))})


def _count(columns: tasks.Columns, unknown: int | None) -> None:
    columns["length"] = [len(ids) for ids in columns["input_ids"]]
    columns["unknown"] = [ids.count(unknown) for ids in columns["input_ids"]]
