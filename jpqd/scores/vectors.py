"""Figures of vectors: against scores of pairs, and against another model's vectors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from jpqd.scores import metrics, paired

_NEIGHBOURS = 10
_QUERIES, _POOL = 2_000, 20_000
"""The most texts whose neighbours are sought, and among which."""
_SAME = 1 - 1e-5
"""The cosine from which texts are one and the same, which is nobody's neighbour."""
_RESAMPLES = 2_000


def cosines(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the cosine of each row of one with the row of the other."""
    found: np.ndarray = (unit(a) * unit(b)).sum(1)
    return found


def unit(vectors: np.ndarray) -> np.ndarray:
    """Return vectors of the length 1."""
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    found: np.ndarray = vectors / np.maximum(length, 1e-12)
    return found


def figures(
    vectors: np.ndarray, labels: np.ndarray, sizes: Callable[[np.ndarray], Sequence[int]]
) -> dict[str, Any]:
    """Return what is known of vectors. Labels are scores, and maybe vectors behind them."""
    scores = labels[:, 0] if labels.ndim == 2 else labels
    theirs = labels[:, 1:] if labels.ndim == 2 else None
    pairs = pairs_of(scores)
    found: dict[str, Any] = {"n": len(pairs) or len(vectors)}
    for size in sizes(vectors):
        name = "" if size == vectors.shape[1] else f"_{size}"
        short = vectors[:, :size]
        if len(pairs):
            found |= _correlation(short, scores, pairs, name)
        if theirs is not None:
            found |= _likeness(short, theirs, name)
    return found


def pairs_of(scores: np.ndarray) -> np.ndarray:
    """Return where the pairs with a score begin: two texts that stand side by side."""
    found: np.ndarray = np.flatnonzero(~np.isnan(scores))[::2]
    return found


def alike(vectors: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """Return the cosine of the two texts of each pair."""
    return cosines(vectors[pairs], vectors[pairs + 1])


def _correlation(
    vectors: np.ndarray, scores: np.ndarray, pairs: np.ndarray, name: str
) -> dict[str, Any]:
    found = metrics.regression(alike(vectors, pairs), scores[pairs])["spearman"]
    figures = {f"spearman{name}": found}
    if not name:
        figures["spearman_95"] = metrics.fisher(found, len(pairs), ranks=True)
    return figures


def _likeness(vectors: np.ndarray, theirs: np.ndarray, name: str) -> dict[str, float]:
    found = {} if name else {"cosine": float(cosines(vectors, theirs).mean())}
    recall, gain = neighbours(vectors, theirs)
    return {**found, f"recall_10{name}": recall, f"ndcg_10{name}": gain}


def neighbours(vectors: np.ndarray, theirs: np.ndarray) -> tuple[float, float]:
    """Return the share of the other model's ten nearest texts that are among the ten nearest here,
    and nDCG@10 where its nearest text counts ten, its tenth one.
    """
    ours, theirs = unit(vectors[:_POOL]), unit(theirs[:_POOL])
    asked = np.arange(len(ours))
    if len(asked) > _QUERIES:
        asked = np.sort(np.random.default_rng(0).choice(asked, _QUERIES, replace=False))
    found = [_of_one(ours, theirs, row) for row in asked.tolist()]
    known = np.array([one for one in found if one is not None]).reshape(-1, 2)
    return (float(known[:, 0].mean()), float(known[:, 1].mean())) if len(known) else (1.0, 1.0)


def _of_one(ours: np.ndarray, theirs: np.ndarray, row: int) -> tuple[float, float] | None:
    """Return recall and gain of one text; None where no other text is there."""
    near, likely = theirs @ theirs[row], ours @ ours[row]
    same = near >= _SAME  # itself, and texts that are word for word the same
    count = min(_NEIGHBOURS, int((~same).sum()))
    if not count:
        return None
    near[same] = likely[same] = -np.inf
    right, mine = _first(near, count), _first(likely, count)
    return len(np.intersect1d(mine, right)) / count, _gain(mine, right)


def _first(near: np.ndarray, count: int) -> np.ndarray:
    """Return the nearest rows, the nearest first."""
    some = np.argpartition(-near, count - 1)[:count]
    found: np.ndarray = some[np.argsort(-near[some], kind="stable")]
    return found


def _gain(mine: np.ndarray, right: np.ndarray) -> float:
    count = len(right)
    worth = {int(text): count - place for place, text in enumerate(right)}
    discount = 1 / np.log2(np.arange(2, count + 2))
    gained = sum(
        worth.get(int(text), 0) * share for text, share in zip(mine, discount, strict=True)
    )
    return float(gained / (np.arange(count, 0, -1) * discount).sum())


def _of_cosines(
    mine: Sequence[np.ndarray], others: Sequence[np.ndarray], labels: np.ndarray
) -> tuple[float, float, float]:
    """Return how much nearer one side is to the vectors in the labels, with its 95% interval."""
    theirs = labels[:, 1:]
    near, far = (np.mean([cosines(one, theirs) for one in side], axis=0) for side in (mine, others))
    gain = near - far
    half, middle = metrics.Z95 * gain.std() / np.sqrt(len(gain)), float(gain.mean())
    least = 0.0 if gain.any() else paired.unseen(len(gain))
    return paired.widened(middle, middle - half, middle + half, least)


def compare(
    mine: Sequence[np.ndarray], others: Sequence[np.ndarray], labels: np.ndarray
) -> dict[str, Any]:
    """Compare with a baseline: the difference of Spearman, and the mean cosine as agreement."""
    pairs = [cosines(a, b) for a, b in zip(mine, others, strict=True)]
    agreement = float(np.mean(pairs))
    scores = labels[:, 0] if labels.ndim == 2 else labels
    starts = pairs_of(scores)
    if not len(starts):
        return {"difference": _of_cosines(mine, others, labels), "agreement": agreement}
    guesses = [np.stack([alike(one, starts) for one in side]) for side in (mine, others)]
    found = paired.spearman_difference(guesses[0], guesses[1], scores[starts], _RESAMPLES)
    return {"difference": found, "agreement": agreement}
