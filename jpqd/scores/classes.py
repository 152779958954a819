"""Figures of each class: precision, recall, F1, and what was taken for what."""

from collections.abc import Sequence
from typing import Any

import numpy as np


def confusion(
    classes: int, guess: np.ndarray, truth: np.ndarray, weights: np.ndarray | None = None
) -> np.ndarray:
    """Count rows by class, each as often as its weight says: [truth, guess]."""
    places = truth.astype(int) * classes + guess
    counts = np.bincount(places, weights, minlength=classes * classes)
    table: np.ndarray = counts.reshape(classes, classes)
    return table


def per_class(names: Sequence[str], guess: np.ndarray, truth: np.ndarray) -> list[dict[str, Any]]:
    """Return n, precision, recall and F1 of each class; zero where there is nothing to divide."""
    table = confusion(len(names), guess, truth)
    right, guessed, real = table.diagonal(), table.sum(0), table.sum(1)
    return [
        {
            "class": name,
            "n": int(real[number]),
            "precision": float(right[number] / max(guessed[number], 1)),
            "recall": float(right[number] / max(real[number], 1)),
            "f1": float(2 * right[number] / max(guessed[number] + real[number], 1)),
        }
        for number, name in enumerate(names)
    ]
