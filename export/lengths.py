"""The lengths of the static bodies of an IR: the least padding for the texts of a task."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from transformers import PreTrainedTokenizerBase

from export.origin import Origin
from jpqd.core.errors import JpqdError
from jpqd.core.progress import Progress
from jpqd.data import splits

STEP, MOST = 8, 6
"""Lengths are multiples of STEP, and there are at most MOST."""
UNKNOWN = (16, 32, 48, 64, 96, 128)
"""Lengths for a model without texts."""
_WORTH = 0.02
"""The least share of the tokens that a body must save: it adds to file and start."""
_Table = dict[int, tuple[float, tuple[int, ...]]]
"""The least cost of texts up to a length, and the lengths of the bodies for them."""
_COVERED = 0.999
"""The least share of texts that fit in the last body: p99 is made of changes of shape."""
_SURCHARGE = 40
"""The cost of a change of shape for a small model, in tokens, which longer texts pay."""


def of_origin(
    origin: Origin, tokenizer: PreTrainedTokenizerBase, longest: int, progress: Progress
) -> tuple[int, ...]:
    """Choose lengths for the texts of train, where there are any."""
    found = without_texts(longest)
    if origin.task:
        task = origin.task.model_copy(update={"max_length": longest})
        try:
            # The comparison says what the data is; two lines of it would puzzle.
            data = splits.prepare(task, tokenizer, origin.cache, Progress(quiet=True))
            found = of_texts(splits.column(data.split("train"), "length"), longest)
        except JpqdError as error:
            progress.warn(
                f"lengths are not those of the task's texts, which are not there: {error}"
            )
    progress.say(f"    one row is filled up to {', '.join(map(str, found))} tokens")
    return found


def without_texts(longest: int) -> tuple[int, ...]:
    """Return lengths for a model of which no texts are known."""
    return tuple(sorted({min(length, longest) for length in UNKNOWN}))


def of_texts(counts: Sequence[int] | np.ndarray, longest: int) -> tuple[int, ...]:
    """Choose lengths for texts of which each has so many tokens.

    A text costs the length of its body; one that fits in none its own length and a surcharge.
    Almost all texts fit in the last one.
    """
    tokens = np.minimum(np.asarray(counts), longest)
    ends = [*range(STEP, longest, STEP), longest]
    last = np.quantile(tokens, _COVERED)
    spent = math.inf
    chosen: tuple[int, ...] = (longest,)
    table: _Table = {0: (0.0, ())}
    for _ in range(MOST):
        table = _one_more(tokens, ends, table)
        cost, lengths = min(
            (had + _beyond(tokens, end), some) for end, (had, some) in table.items() if end >= last
        )
        if cost > spent * (1 - _WORTH):
            break
        spent, chosen = cost, lengths
    return chosen


def _one_more(tokens: np.ndarray, ends: list[int], table: _Table) -> _Table:
    """Add a body to the best choices, each known by its last length."""
    counts = {end: int((tokens <= end).sum()) for end in [0, *ends]}
    return {
        end: min(
            (spent + end * (counts[end] - counts[start]), (*lengths, end))
            for start, (spent, lengths) in table.items()
            if start < end
        )
        for end in ends
        if any(start < end for start in table)
    }


def _beyond(tokens: np.ndarray, end: int) -> float:
    longer = tokens[tokens > end]
    return float(longer.sum() + _SURCHARGE * len(longer))
