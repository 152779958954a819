"""Loyalty: how far a model's answers are from its baseline's, whether right or wrong."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import special


def figures(logits: np.ndarray, baseline: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
    """Return the distance of the probabilities, and the answers that became wrong and right."""
    mine, theirs = logits.argmax(1) == labels, baseline.argmax(1) == labels
    return {
        "js_distance": distance(logits, baseline),
        "became_wrong": int((~mine & theirs).sum()),
        "became_right": int((mine & ~theirs).sum()),
    }


def distance(logits: np.ndarray, baseline: np.ndarray) -> float:
    """Return the mean Jensen-Shannon distance of the probabilities: 0 for equal ones, at most 1."""
    mine, theirs = (special.softmax(x.astype(np.float64), axis=1) for x in (logits, baseline))
    middle = (mine + theirs) / 2
    each = (special.rel_entr(mine, middle) + special.rel_entr(theirs, middle)).sum(1) / 2
    return float(np.sqrt(np.maximum(each, 0) / np.log(2)).mean())
