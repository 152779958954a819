"""The texts of a table: the lengths of an IR's bodies, how many texts take each, requests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from export import lengths
from jpqd.core.errors import UserError
from jpqd.data import splits
from jpqd.recipe.contracts import Context
from runtime_bench.job import workload
from runtime_bench.job.workload import Rows
from runtime_bench.table.build import Factory

if TYPE_CHECKING:
    from runtime_bench.backend import Request

_EACH = 40
"""The requests of each length, where lengths come in turn."""
_MIXED, _FEWEST = 200, 8
"""The requests where lengths come as they do, and the fewest of each."""


@dataclass(frozen=True)
class Texts:
    lengths: tuple[int, ...]
    shares: tuple[float, ...]
    requests: list[Request]
    bodies: np.ndarray
    """The number of the length that each request takes."""


def find(ctx: Context, factory: Factory, length: int | None, *, in_turn: bool) -> Texts:
    """Take the texts of train: as they are, or all of one length.

    `in_turn` brings as many of each length. Else lengths are mixed as in train, which is faster:
    the weights of frequent lengths stay in the caches, and of a small model more of them do.
    """
    longest = min(factory.longest, ctx.task.max_length)
    if length and length > factory.longest:
        raise UserError(
            f"length: {length}, but the model takes at most {factory.longest} tokens. "
            "Give a shorter one."
        )
    train = splits.prepare(ctx.task, factory.tokenizer, ctx.cache, ctx.progress).split("train")
    counts = np.minimum(splits.column(train, "length"), longest)
    found = (length,) if length else lengths.of_texts(counts, longest)
    takes = np.searchsorted(found, counts).clip(max=len(found) - 1)
    random = np.random.default_rng(0)
    chosen = (_in_turn if in_turn else _mixed)(takes, len(found), random)
    ids = [np.asarray(row, np.int64) for row in train[chosen]["input_ids"]]
    zeros = [np.zeros_like(row) for row in ids]
    rows = Rows(ids, zeros, int(factory.tokenizer.pad_token_id), ctx.task.name)
    return Texts(
        lengths=found,
        shares=tuple(np.bincount(takes, minlength=len(found)) / len(takes)),
        requests=workload.one_by_one(_cut(rows, found[-1], exactly=length is not None)),
        bodies=takes[chosen],
    )


def _mixed(takes: np.ndarray, lengths: int, random: np.random.Generator) -> np.ndarray:
    """Choose rows of each length by its share."""
    wanted = np.bincount(takes, minlength=lengths) * _MIXED // len(takes)
    chosen = [
        random.choice(np.flatnonzero(takes == body), max(count, _FEWEST))
        for body, count in enumerate(wanted)
    ]
    return random.permutation(np.concatenate(chosen))


def _in_turn(takes: np.ndarray, lengths: int, random: np.random.Generator) -> np.ndarray:
    """Choose rows so that every length comes in turn, in random order."""
    each = [random.choice(np.flatnonzero(takes == body), _EACH) for body in range(lengths)]
    return np.concatenate([random.permutation(column) for column in zip(*each, strict=True)])


def _cut(rows: Rows, most: int, *, exactly: bool) -> Rows:
    if exactly:
        return workload.of_length(rows, most)
    return Rows(
        [row[:most] for row in rows.ids], [row[:most] for row in rows.types], rows.padding, ""
    )
