"""Figures of a split, with a 95% interval where there is one."""

import math
import warnings
from typing import Any

import numpy as np
from scipy import stats
from sklearn import metrics as sk

Z95 = 1.959964


def classification(classes: int, guess: np.ndarray, truth: np.ndarray) -> dict[str, Any]:
    average = "binary" if classes == 2 else "macro"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a class that never occurs has no F1; zero is said below
        return {
            "accuracy": float(sk.accuracy_score(truth, guess)),
            "accuracy_95": wilson(int((guess == truth).sum()), len(truth)),
            "f1": float(sk.f1_score(truth, guess, average=average, zero_division=0)),
            "matthews": float(sk.matthews_corrcoef(truth, guess)),
        }


def regression(guess: np.ndarray, truth: np.ndarray) -> dict[str, Any]:
    return {
        "pearson": _correlation(stats.pearsonr, guess, truth),
        "spearman": _correlation(stats.spearmanr, guess, truth),
        "mse": float(np.mean((guess - truth) ** 2)),
    }


def _correlation(measure: Any, guess: np.ndarray, truth: np.ndarray) -> float:
    """Return a correlation; zero for constant predictions, which order nothing."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        value = float(measure(guess, truth).statistic) if len(truth) > 1 else math.nan
    return 0.0 if math.isnan(value) else value


def wilson(right: float, n: int) -> list[float]:
    """Return the 95% interval of a share, which holds near 0 and 1 and for small n."""
    share, spread = right / n, Z95 * Z95 / n
    middle = (share + spread / 2) / (1 + spread)
    half = Z95 * math.sqrt(share * (1 - share) / n + spread / (4 * n)) / (1 + spread)
    # Rounding must not leave a share of 0 or 1 outside of its interval.
    return [max(0.0, min(share, middle - half)), min(1.0, max(share, middle + half))]


def fisher(correlation: float, n: int, *, ranks: bool = False) -> list[float] | None:
    """Return the 95% interval of a correlation (Fisher's z); None where n says nothing.

    That of `ranks` varies more (Bonett and Wright 2000, Psychometrika 65, 23-28).
    """
    if n < 4 or abs(correlation) >= 1:
        return None
    more = 1 + correlation**2 / 2 if ranks else 1.0
    half = Z95 * math.sqrt(more / (n - 3))
    return [math.tanh(math.atanh(correlation) + side) for side in (-half, half)]
