"""Figures of a confusion matrix, and their differences between two models on the same rows.

A matrix is [truth, guess]. Rows count with weights, so that drawing rows again is drawing weights.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from jpqd.scores import paired
from jpqd.scores.classes import confusion as matrix

Measure = Callable[[np.ndarray], float]
_RESAMPLES = 2_000
_SPANS = {"matthews": 2.0}
"""The distance of a figure's best value from its worst one, where that is not 1."""


def measures(classes: int) -> dict[str, Measure]:
    """Return the figures of a task beside its accuracy. F1 of two classes is of the second."""
    if classes > 2:
        return {"f1": macro_f1, "matthews": matthews}
    return {"f1": second_f1, "macro_f1": macro_f1, "matthews": matthews}


def f1(confusion: np.ndarray) -> np.ndarray:
    """Return F1 of every class; zero for a class that neither occurs nor is guessed."""
    whole = confusion.sum(0) + confusion.sum(1)
    right = np.diagonal(confusion).astype(float)
    each: np.ndarray = np.divide(2 * right, whole, out=np.zeros_like(right), where=whole > 0)
    return each


def macro_f1(confusion: np.ndarray) -> float:
    """Return the mean F1 of the classes that occur or are guessed."""
    seen = confusion.sum(0) + confusion.sum(1) > 0
    return float(f1(confusion)[seen].mean())


def second_f1(confusion: np.ndarray) -> float:
    return float(f1(confusion)[1])


def matthews(confusion: np.ndarray) -> float:
    """Return Matthews' correlation; zero where one side names a single class."""
    guessed, real = confusion.sum(0).astype(float), confusion.sum(1).astype(float)
    n = real.sum()
    together = np.trace(confusion) * n - guessed @ real
    spread = np.sqrt((n**2 - guessed @ guessed) * (n**2 - real @ real))
    return float(together / spread) if spread > 0 else 0.0


def differences(
    classes: int, guess: np.ndarray, baseline: np.ndarray, truth: np.ndarray
) -> dict[str, tuple[float, float, float]]:
    """Return the difference of each figure with its 95% interval over rows (bootstrap).

    Guesses are [runs, rows]. Rows with the same answers are alike, so drawing how many of each
    kind there are (multinomial) is drawing the rows themselves.
    """
    rows, named = len(truth), measures(classes)
    kinds, counts = np.unique(np.vstack([truth, guess, baseline]), axis=1, return_counts=True)
    mine, theirs = np.split(kinds[1:].astype(int), 2)
    drawn = np.random.default_rng(paired.SEED).multinomial(rows, counts / rows, size=_RESAMPLES)

    def each(weights: np.ndarray) -> list[float]:
        return _difference(named, classes, (mine, theirs, kinds[0]), weights)

    middle, table = each(counts), np.array([each(weights) for weights in drawn])
    least = _unseen(truth)
    return {
        name: paired.widened(
            middle[place], *paired.interval(table[:, place]), least * _SPANS.get(name, 1.0)
        )
        for place, name in enumerate(named)
    }


def _difference(
    named: Mapping[str, Measure],
    classes: int,
    kinds: tuple[np.ndarray, np.ndarray, np.ndarray],
    weights: np.ndarray,
) -> list[float]:
    """Return the mean over runs of the difference of each figure."""
    *sides, truth = kinds
    mine, theirs = ([matrix(classes, run, truth, weights) for run in side] for side in sides)
    return [
        float(np.mean([measure(a) - measure(b) for a, b in zip(mine, theirs, strict=True)]))
        for measure in named.values()
    ]


def _unseen(truth: np.ndarray) -> float:
    """Return how far rows that differ, but were not seen, move a mean of classes: most of all
    where they are of the rarest class.
    """
    _, counts = np.unique(truth, return_counts=True)
    mean = len(truth) / len(counts)
    return min(1.0, paired.unseen(len(truth)) * mean / int(counts.min()))
