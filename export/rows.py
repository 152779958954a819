"""The rows on which a PyTorch model and its IR are compared."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from transformers import PreTrainedTokenizerBase

from export.origin import Origin
from export.shapes import Shape
from jpqd.core.progress import Progress
from jpqd.data import splits, tables
from jpqd.recipe.task import Task
from jpqd.tasks import Kind

SMALL, SAMPLE, RANDOM = 1_000, 512, 400
"""All rows of a split up to this size, so many of a larger one, or of random tokens."""
LONGEST = 128
"""Tokens of a random text, at the most."""
SIZES = (1, 8, 3, 32)
"""Rows of the requests, in turn, where the IR takes any number."""

Batch = dict[str, np.ndarray]


@dataclass(frozen=True)
class Rows:
    """Texts, column by column, with their token ids and labels row by row."""

    texts: list[list[str]]
    tokens: list[dict[str, list[int]]]
    tokenizer: PreTrainedTokenizerBase
    kind: Kind
    labels: list[Any]
    labelled: bool = False
    """Whether the labels are real ones."""
    split: str = "random tokens"
    of: int = RANDOM
    """Rows of the split, of which these may be a sample."""
    numbers: tuple[int, ...] = tuple(range(RANDOM))
    """Which rows of the data they are, counted from 0."""

    def requests(self, shape: Shape) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Rows that are asked for together, and the same filled up to a batch that is static."""
        order = np.random.default_rng(0).permutation(len(self.tokens))
        start, turn = 0, 0
        while start < len(order):
            rows = order[start : start + (shape.batch or SIZES[turn % len(SIZES)])]
            yield rows, np.resize(rows, shape.batch or len(rows))
            start, turn = start + len(rows), turn + 1

    def padded(self, numbers: np.ndarray, shape: Shape) -> Batch:
        how: dict[str, Any] = {"padding": True}
        if shape.length is not None:
            how = {"padding": "max_length", "max_length": shape.length}
        inputs = [self.tokens[int(number)] for number in numbers]
        return dict(self.tokenizer.pad(inputs, return_tensors="np", **how))


def of_task(
    origin: Origin, task: Task, tokenizer: PreTrainedTokenizerBase, shape: Shape, progress: Progress
) -> Rows:
    """Of the split that is reported, cut to the length that the IR takes."""
    longest = min(task.max_length, shape.length or shape.most or task.max_length)
    short = task.model_copy(update={"max_length": longest})
    data = splits.prepare(short, tokenizer, origin.cache, progress)
    split = data.split(task.report_on)
    chosen = np.arange(len(split))
    if len(split) > SMALL:
        chosen = np.sort(np.random.default_rng(0).choice(len(split), SAMPLE, replace=False))
    part = split.select(chosen)
    numbers = tuple(int(number) for number in splits.column(part, "row"))
    return Rows(
        texts=_texts(origin, task, data.kind, numbers),
        tokens=part.remove_columns(["labels", "length", "row"]).to_list(),
        tokenizer=tokenizer,
        kind=data.kind,
        labels=part["labels"][:],
        labelled=True,
        split=tables.canonical(task.report_on),
        of=len(split),
        numbers=numbers,
    )


def _texts(origin: Origin, task: Task, kind: Kind, numbers: tuple[int, ...]) -> list[list[str]]:
    raw = tables.load(task, origin.cache)
    split = tables.canonical(task.report_on)
    part = raw[split if split in raw else "train"].select(
        numbers
    )  # from train: what was cut off it
    return [list(column) for column in zip(*(kind.texts(task, row) for row in part), strict=True)]


def at_random(tokenizer: PreTrainedTokenizerBase, kind: Kind, longest: int, shape: Shape) -> Rows:
    """For a model without a task: words of its vocabulary, in texts of many lengths."""
    chance = np.random.default_rng(0)
    usable = sorted(set(range(len(tokenizer))) - set(tokenizer.all_special_ids))
    most = min(longest, shape.length or shape.most or longest, LONGEST)
    lengths = chance.integers(1, most, size=RANDOM, endpoint=True)
    texts = [str(tokenizer.decode(chance.choice(usable, size))) for size in lengths]
    tokens = [dict(tokenizer(text, truncation=True, max_length=most)) for text in texts]
    labels = [kind.no_label(len(row["input_ids"])) for row in tokens]
    return Rows([texts], tokens, tokenizer, kind, labels)
