"""Real files, a real tokenizer and a progress that remembers, for the tests of the data layer."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from datasets import Dataset
from transformers import PreTrainedTokenizerFast
from transformers.models.bert.tokenization_bert import BertTokenizer

from jpqd.core.progress import Progress
from jpqd.data import splits
from jpqd.data.splits import Data
from jpqd.recipe.task import Task

_WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "good", "bad", "film", "very", "not"]


class Listener(Progress):
    """Remembers what a user would read."""

    def __init__(self) -> None:
        super().__init__(quiet=True)
        self.said: list[str] = []
        self.warned: list[str] = []

    def say(self, message: str) -> None:
        self.said.append(message)

    def warn(self, message: str) -> None:
        self.warned.append(message)


def tokenizer(*more_words: str) -> PreTrainedTokenizerFast:
    vocabulary = {word: number for number, word in enumerate([*_WORDS, *more_words])}
    return BertTokenizer(vocab=vocabulary, model_max_length=512)


def task(dataset: Path | str | dict[str, str], **settings: Any) -> Task:
    source = dataset if isinstance(dataset, dict) else str(dataset)
    return Task(**{"name": "reviews", "dataset": source, **settings})


def write(path: Path, content: str | bytes) -> Path:
    """Exactly these bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def write_rows(path: Path, rows: list[dict[str, Any]]) -> Path:
    """The rows in whatever format the file's ending names."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".jsonl":
        write(path, "".join(json.dumps(row) + "\n" for row in rows))
    elif path.suffix == ".json":
        write(path, json.dumps(rows))
    elif path.suffix == ".parquet":
        Dataset.from_list(rows).to_parquet(str(path))
    else:
        Dataset.from_list(rows).to_csv(
            str(path), sep="\t" if path.suffix == ".tsv" else ",", index=False
        )
    return path


def sentences(count: int, labels: Iterable[Any] = (0, 1)) -> list[dict[str, Any]]:
    """Different texts of different lengths, with labels in turn."""
    choices = list(labels)
    return [
        {"text": "good film " * (1 + i % 7) + str(i), "label": choices[i % len(choices)]}
        for i in range(count)
    ]


def prepare(place: Path, listener: Listener | None = None, **settings: Any) -> Data:
    cache = place.parent / "cache"
    return splits.prepare(task(place, **settings), tokenizer(), cache, listener or Listener())


def folder(tmp_path: Path, **splits: list[dict[str, Any]]) -> Path:
    for split, rows in splits.items():
        write_rows(tmp_path / "data" / f"{split}.jsonl", rows)
    return tmp_path / "data"


def contents(prepared: Data, split: str) -> list[tuple[int, ...]]:
    return [tuple(ids) for ids in prepared.split(split)["input_ids"]]


def distinct(count: int) -> list[dict[str, Any]]:
    """Rows whose token ids differ: the row number is spelled in two words."""
    words = ["good", "bad", "very", "not"]
    return [
        {"text": " ".join(words[(i // 4**k) % 4] for k in range(6)), "label": i % 2}
        for i in range(count)
    ]
