"""Calibration: whether a model that is 90% sure is right in 90% of the cases."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import optimize, special

BINS = 15
_RESAMPLES, _SEED = 1_000, 0
_COLDEST, _HOTTEST = 0.05, 20.0


def error(sure: np.ndarray, right: np.ndarray) -> float:
    """Return the expected calibration error, over bins of equal width."""
    bins = _bins(sure)
    gaps = np.bincount(bins, sure, BINS) - np.bincount(bins, right, BINS)
    return float(np.abs(gaps).sum() / len(sure))


def figures(logits: np.ndarray, labels: np.ndarray, temperature: float = 1.0) -> dict[str, Any]:
    """Return the error with its interval, and how sure the model is on average."""
    sure, right = _sure(logits / temperature, labels)
    found = error(sure, right)
    return {
        "ece": found,
        "ece_95": _interval(found, sure, right),
        "confidence": float(sure.mean()),
    }


def _interval(found: float, sure: np.ndarray, right: np.ndarray) -> list[float]:
    """Return the basic bootstrap interval: errors of rows drawn again lie above the true one."""
    random, count = np.random.default_rng(_SEED), len(sure)
    each = []
    for _ in range(_RESAMPLES):
        rows = random.integers(count, size=count)
        each.append(error(sure[rows], right[rows]))
    low, high = np.quantile(each, [0.025, 0.975])
    return [float(max(0.0, min(found, 2 * found - high))), float(max(found, 2 * found - low))]


def temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """Return the number by which logits are divided so that these rows are likeliest."""

    def surprise(logarithm: float) -> float:
        chances = special.log_softmax(logits / np.exp(logarithm), axis=1)
        return float(-chances[np.arange(len(labels)), labels].mean())

    bounds = (np.log(_COLDEST), np.log(_HOTTEST))
    return float(np.exp(optimize.minimize_scalar(surprise, bounds=bounds, method="bounded").x))


def diagram(logits: np.ndarray, labels: np.ndarray) -> list[dict[str, float]]:
    """Return how sure the model is and how often it is right, for each bin with rows."""
    sure, right = _sure(logits, labels)
    bins = _bins(sure)
    return [
        {
            "n": int((bins == number).sum()),
            "confidence": float(sure[bins == number].mean()),
            "accuracy": float(right[bins == number].mean()),
        }
        for number in np.unique(bins)
    ]


def _sure(logits: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    chances = special.softmax(logits.astype(np.float64), axis=1)
    return chances.max(1), (chances.argmax(1) == labels).astype(float)


def _bins(sure: np.ndarray) -> np.ndarray:
    found: np.ndarray = np.minimum((sure * BINS).astype(int), BINS - 1)
    return found
