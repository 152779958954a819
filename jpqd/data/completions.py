"""Prompts and what a model wrote after them: read, cleaned, and made rows of train."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from datasets import Dataset, DatasetDict
from transformers import PreTrainedTokenizerBase

from jpqd.core import seals
from jpqd.core.errors import DataError
from jpqd.data import sources, tables
from jpqd.data.splits import Data
from jpqd.recipe import plugins
from jpqd.recipe.task import Task
from jpqd.tasks._tokens import SILENT

FILE = "completions.jsonl"
PROMPT, COMPLETION = "prompt", "completion"
_EVERY = 20
Row = tuple[list[int], list[int]]
"""The tokens that are read, and the one that follows at each place."""
_RUN = 4
"""Tokens in a row that are looked for again in the same text."""
_DIFFERENT = 0.5
"""The share of such rows that must differ, or the text turns in circles."""


@dataclass(frozen=True)
class Text:
    """A text that a model wrote after a prompt."""

    prompt: str
    completion: str


def of_table(place: str, cache: Path) -> list[Text]:
    """Read a table that someone else's model wrote."""
    table = tables.read(sources.local_file(place), cache / "tables")
    for name in (PROMPT, COMPLETION):
        if name not in table.column_names:
            known = plugins.unknown(name, table.column_names)
            raise DataError(f"{place}: there is no column {name!r}; {known}.")
    pairs = zip(table[PROMPT], table[COMPLETION], strict=True)
    return [Text(str(before or ""), str(after or "")) for before, after in pairs]


def read(file: Path) -> list[Text]:
    """Read what `write` wrote, without a last line that a kill cut short."""
    if not file.exists():
        return []
    whole, _, _ = file.read_text(encoding="utf-8").rpartition("\n")
    found = [json.loads(line) for line in whole.splitlines()]
    return [Text(one[PROMPT], one[COMPLETION]) for one in found]


def write(file: Path, texts: Iterable[Text]) -> None:
    """Add texts to a file."""
    lines = [json.dumps(vars(text), ensure_ascii=False) + "\n" for text in texts]
    with file.open("a", encoding="utf-8") as out:
        out.writelines(lines)


def clean(
    texts: Sequence[Text], least: int, tokenizer: PreTrainedTokenizerBase
) -> tuple[list[Text], dict[str, int]]:
    """Return what is worth learning, and how many texts were left out for which reason."""
    kept: dict[Text, None] = {}
    why: Counter[str] = Counter(dict.fromkeys(("empty", "short", "circling", "double"), 0))
    for text in texts:
        ids = tokenizer(text.completion, add_special_tokens=False, verbose=False)["input_ids"]
        reason = _fault(text, ids, least) or ("double" if text in kept else "")
        if reason:
            why[reason] += 1
        else:
            kept[text] = None
    return list(kept), dict(why)


def _fault(text: Text, ids: list[int], least: int) -> str:
    if not text.completion.strip():
        return "empty"
    if len(ids) < least:
        return "short"
    runs = list(zip(*(ids[start:] for start in range(_RUN)), strict=False))
    return "circling" if runs and len(set(runs)) < _DIFFERENT * len(runs) else ""


def as_train(data: Data, file: Path, task: Task, tokenizer: PreTrainedTokenizerBase) -> Data:
    """Return the data with these texts as train, and some of them as the rows that choose."""
    texts = read(file)
    rows = [row for text in texts if (row := _row(text, task, tokenizer))]
    every = round(1 / task.select_on) if isinstance(task.select_on, float) else _EVERY
    choosing = rows[every - 1 :: every]
    learnt = [row for number, row in enumerate(rows, 1) if number % every]
    if not learnt or not choosing:
        raise DataError(
            f"{file}: {len(rows)} texts whose prompt ends within task.max_length "
            f"{task.max_length}, too few: one of {every} chooses the checkpoint."
        )
    parts = {"train": learnt, "select": choosing}
    tables = {name: _table(some, data.splits["train"]) for name, some in parts.items()}
    counts = {name: {"used": len(some), "unusable": 0} for name, some in parts.items()}
    whole = DatasetDict({**data.splits, **tables})
    digest = seals.digest([vars(text) for text in texts])
    rows_now = {**data.rows, **counts}
    return replace(data, splits=whole, rows=rows_now, of_train=len(learnt), texts=digest)


def _table(rows: list[Row], like: Dataset) -> Dataset:
    columns = {
        "input_ids": [ids for ids, _ in rows],
        "labels": [labels for _, labels in rows],
        "length": [len(ids) for ids, _ in rows],
        "row": list(range(len(rows))),
    }
    return Dataset.from_dict(columns, features=like.features)


def _row(text: Text, task: Task, tokenizer: PreTrainedTokenizerBase) -> Row | None:
    """Make a window of a text; the prompt, and what is too long, is not learnt."""
    before = tokenizer(text.prompt)["input_ids"]
    after = tokenizer(text.completion, add_special_tokens=False)["input_ids"]
    end = [] if tokenizer.eos_token_id is None else [tokenizer.eos_token_id]
    ids = [*before, *after, *end][: task.max_length + 1]
    silent = max(len(before) - 1, 0)
    labels = [*[SILENT] * silent, *ids[silent + 1 :]]
    return (ids[:-1], labels) if len(ids) - 1 > silent else None
