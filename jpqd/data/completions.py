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
    ended: bool = True
    """True where the model itself ended it."""


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
    return [Text(**json.loads(line)) for line in whole.split("\n") if line]


def write(file: Path, texts: Iterable[Text]) -> None:
    """Add texts to a file, at once."""
    with file.open("a", encoding="utf-8") as out:
        out.write(lines(texts))


def lines(texts: Iterable[Text]) -> str:
    return "".join(json.dumps(vars(text)) + "\n" for text in texts)


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
    parts, left_out = _shared(texts, task, tokenizer)
    if not all(parts.values()):
        raise DataError(
            f"{file}: {len(texts)} texts are too few: those of one prompt in "
            f"{_every(task)} choose the checkpoint, and {left_out} prompts are as long as "
            f"task.max_length {task.max_length}. Give more prompts."
        )
    tables = {name: _table(some, data.splits["train"]) for name, some in parts.items()}
    rows = {name: {"used": len(some), "unusable": 0} for name, some in parts.items()}
    rows["train"]["unusable"] = left_out
    return replace(
        data,
        splits=DatasetDict({**data.splits, **tables}),
        rows={**data.rows, **rows},
        of_train=len(parts["train"]),
        texts=seals.digest([vars(text) for text in texts]),
    )


def _shared(
    texts: Sequence[Text], task: Task, tokenizer: PreTrainedTokenizerBase
) -> tuple[dict[str, list[Row]], int]:
    """Share texts between train and the rows that choose, by their prompts."""
    every, left_out = _every(task), 0
    numbers = {prompt: number for number, prompt in enumerate({t.prompt: 0 for t in texts}, 1)}
    parts: dict[str, list[Row]] = {"train": [], "select": []}
    for text in texts:
        if row := _row(text, task, tokenizer):
            parts["train" if numbers[text.prompt] % every else "select"].append(row)
        else:
            left_out += 1
    return parts, left_out


def _every(task: Task) -> int:
    share = task.select_on
    return max(2, round(1 / share)) if isinstance(share, float) else _EVERY


def _table(rows: list[Row], like: Dataset) -> Dataset:
    columns = {
        "input_ids": [ids for ids, _ in rows],
        "labels": [labels for _, labels in rows],
        "length": [len(ids) for ids, _ in rows],
        "row": list(range(len(rows))),
    }
    return Dataset.from_dict(columns, features=like.features)


def _row(text: Text, task: Task, tokenizer: PreTrainedTokenizerBase) -> Row | None:
    """Make a window of a text; the prompt, and what is too long, is not learnt.

    A text that was cut off does not teach to end there.
    """
    before = tokenizer(text.prompt)["input_ids"]
    after = tokenizer(text.completion, add_special_tokens=False)["input_ids"]
    end = [tokenizer.eos_token_id] if text.ended and tokenizer.eos_token_id is not None else []
    ids = [*before, *after, *end][: task.max_length + 1]
    silent = max(len(before) - 1, 0)
    labels = [*[SILENT] * silent, *ids[silent + 1 :]]
    return (ids[:-1], labels) if len(ids) - 1 > silent else None
