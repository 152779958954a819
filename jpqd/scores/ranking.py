"""Figures of an order: nDCG and MRR of the texts of each query."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

_DEPTH = 10


def queries(groups: np.ndarray) -> Iterator[np.ndarray]:
    """Yield the rows of each query, in the order in which the queries appear."""
    _, first, number = np.unique(groups, return_index=True, return_inverse=True)
    for one in np.argsort(first):
        yield np.flatnonzero(number == one)


def of_each(scores: np.ndarray, worth: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Return nDCG@10 and MRR@10 of each query that has something worth finding: [queries, 2]."""
    found = [
        (_gain(scores[rows], worth[rows]), _first(scores[rows], worth[rows]))
        for rows in queries(groups)
        if worth[rows].max() > 0
    ]
    return np.array(found).reshape(-1, 2)


def _gain(scores: np.ndarray, worth: np.ndarray) -> float:
    count = min(_DEPTH, len(scores))
    discount = 1 / np.log2(np.arange(2, count + 2))
    best = np.sort(worth)[::-1][:count]
    return float((worth[_order(scores)][:count] * discount).sum() / (best * discount).sum())


def _first(scores: np.ndarray, worth: np.ndarray) -> float:
    """Return one over the place of the first text that is worth as much as the best one."""
    places = np.flatnonzero((worth == worth.max())[_order(scores)][:_DEPTH])
    return 1 / (int(places[0]) + 1) if len(places) else 0.0


def _order(scores: np.ndarray) -> np.ndarray:
    """Return the rows, the highest score first; of equal ones the later, so that no order wins."""
    return np.argsort(scores, kind="stable")[::-1]
