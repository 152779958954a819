"""The rows on which a PyTorch model and its IR are compared."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset
from transformers import PreTrainedTokenizerBase

from export.origin import Origin
from export.shapes import Shape
from jpqd.core.names import PREDICTIONS
from jpqd.core.progress import Progress
from jpqd.data import headers, sources, splits, tables, usable
from jpqd.recipe.task import Task
from jpqd.scores import predictions
from jpqd.tasks import Kind

SMALL, SAMPLE, RANDOM = 1_000, 512, 400
"""An IR is held against its model on all rows of a split up to SMALL, else on SAMPLE of them;
without data, on RANDOM rows.
"""
LONGEST = 128
"""The most tokens of a random text."""
SIZES = (1, 8, 3, 32)
"""The sizes of requests, in turn, where the IR takes any number of rows."""
MOSTLY_ONE = (*(1,) * 8, 8, *(1,) * 8, 3, *(1,) * 8, 32)
"""The same, where one row goes another way than several."""

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
    """True where the labels are real."""
    split: str = "random tokens"
    numbers: tuple[int, ...] = tuple(range(RANDOM))
    """The places of these rows in the data, counted from 0."""

    def sample(self) -> Rows:
        """Return a seeded sample of a large split, and a small one as it is."""
        if len(self.tokens) <= SMALL:
            return self
        chosen = self._some()
        return replace(
            self,
            texts=[[column[row] for row in chosen] for column in self.texts],
            tokens=[self.tokens[row] for row in chosen],
            labels=[self.labels[row] for row in chosen],
            numbers=tuple(self.numbers[row] for row in chosen),
        )

    def _some(self) -> list[int]:
        """Draw rows; those that belong together are drawn together."""
        draw = np.random.default_rng(0)
        if self.kind.follows and not self.kind.vectors:  # the texts of a query
            queries: dict[str, list[int]] = {}
            for row, query in enumerate(self.texts[0]):
                queries.setdefault(query, []).append(row)
            groups = list(queries.values())
            drawn = [groups[one] for one in draw.permutation(len(groups)).tolist()]
            before = accumulate((len(group) for group in drawn), initial=0)
            fits = [group for group, size in zip(drawn, before, strict=False) if size < SAMPLE]
            return sorted(row for group in fits for row in group)
        # The two texts of a pair stand side by side.
        joined = 2 if self.kind.vectors else 1
        pairs = draw.choice(len(self.tokens) // joined, SAMPLE // joined, replace=False)
        return [joined * one + other for one in np.sort(pairs).tolist() for other in range(joined)]

    def joined(self, other: Rows) -> Rows:
        """Add the rows of another split."""
        return replace(
            self,
            texts=[[*own, *more] for own, more in zip(self.texts, other.texts, strict=True)],
            tokens=[*self.tokens, *other.tokens],
            labels=[*self._own(), *other._own()],
            split=f"{self.split} and {other.split}",
            numbers=(*self.numbers, *other.numbers),
        )

    def _own(self) -> list[Any]:
        """Return the labels without the answers of the recipe's model, which train's rows lack."""
        return list(self.kind.own(np.array(self.labels))) if self.kind.follows else self.labels

    def requests(self, shape: Shape) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield the rows of each request, and the same rows repeated up to a static batch."""
        order = np.random.default_rng(0).permutation(len(self.tokens))
        sizes = MOSTLY_ONE if shape.lengths else SIZES
        start, turn = 0, 0
        while start < len(order):
            rows = order[start : start + (shape.batch or sizes[turn % len(sizes)])]
            yield rows, np.resize(rows, shape.batch or len(rows))
            start, turn = start + len(rows), turn + 1

    def batches(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield rows of like lengths together, for who is only asked what it says of each."""
        order = np.argsort([len(row["input_ids"]) for row in self.tokens], kind="stable")
        for start in range(0, len(order), max(SIZES)):
            yield (rows := order[start : start + max(SIZES)]), rows

    def padded(self, numbers: np.ndarray, shape: Shape) -> Batch:
        how: dict[str, Any] = {"padding": True}
        if shape.length is not None:
            how = {"padding": "max_length", "max_length": shape.length}
        inputs = [self.tokens[int(number)] for number in numbers]
        return dict(self.tokenizer.pad(inputs, padding_side="right", return_tensors="np", **how))


def of_task(
    origin: Origin,
    task: Task,
    tokenizer: PreTrainedTokenizerBase,
    shape: Shape,
    progress: Progress,
    name: str | None = None,
    most: int | None = None,
) -> Rows:
    """Take rows of a split, by default all of the reported one, cut to the length of the IR."""
    short = task.model_copy(update={"max_length": shape.cut(task.max_length)})
    data = splits.prepare(short, tokenizer, origin.cache, progress)
    name = name or task.report_on
    split = data.split(name)
    if most is not None and len(split) > most:
        split = split.select(np.random.default_rng(0).choice(len(split), most, replace=False))
    numbers = tuple(int(number) for number in splits.column(split, "row"))
    return Rows(
        texts=_texts(origin, task, data.kind, name, numbers),
        tokens=split.remove_columns(["labels", "length", "row"]).to_list(),
        tokenizer=tokenizer,
        kind=data.kind,
        labels=_labels(origin, split, data.kind),
        labelled=True,
        split=sources.canonical(name),
        numbers=numbers,
    )


def _labels(origin: Origin, split: Dataset, kind: Kind) -> list[Any]:
    """Return the labels; of vectors, with those of the recipe's model that the stage kept."""
    kept = origin.folder / PREDICTIONS
    if kind.follows and kept.is_file():
        labels = predictions.load(kept)[0].labels
        if len(labels) == len(split):
            return list(labels)
    return list(split["labels"][:])


def _texts(
    origin: Origin, task: Task, kind: Kind, split: str, numbers: tuple[int, ...]
) -> list[list[str]]:
    if kind.vectors:  # a row of the data has a row for each of its texts
        count = len(task.text)
        part = raw(task, origin.cache, split, [number // count for number in numbers])
        pairs = zip(part, numbers, strict=True)
        return [[kind.texts(task, row)[number % count] for row, number in pairs]]
    part = raw(task, origin.cache, split, numbers)
    return [list(column) for column in zip(*(kind.texts(task, row) for row in part), strict=True)]


def raw(task: Task, cache: Path, split: str, numbers: Sequence[int]) -> Dataset:
    """Return rows of a split as they stand in the data, their classes numbered as in train."""
    found, name = tables.load(task, cache), sources.canonical(split)
    found = headers.as_train(task, found, usable.needed(task))
    table = found[name if name in found else "train"]  # a split that was cut is part of train
    return table.select(numbers)


def at_random(
    tokenizer: PreTrainedTokenizerBase, kind: Kind, longest: int, shape: Shape, count: int = 1
) -> Rows:
    """Make rows for a model without a task: random words, in texts of many lengths."""
    chance = np.random.default_rng(0)
    usable = sorted(set(range(len(tokenizer))) - set(tokenizer.all_special_ids))
    most = min(longest, shape.length or shape.most or longest)
    lengths = chance.integers(1, min(most, LONGEST), size=RANDOM, endpoint=True)
    sizes = np.maximum(1, lengths // count)
    texts = [
        [str(tokenizer.decode(chance.choice(usable, size))) for size in sizes] for _ in range(count)
    ]
    rows = zip(*texts, strict=True)
    tokens = [dict(tokenizer(*row, truncation=True, max_length=most)) for row in rows]
    labels = [kind.no_label(len(row["input_ids"])) for row in tokens]
    return Rows(texts, tokens, tokenizer, kind, labels)
