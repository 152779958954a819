"""Figures of a language model, from the log-probability of each token that came next.

Tokens near each other depend on each other, so intervals draw windows again: or, where these are
few, pieces of them.
"""

from __future__ import annotations

from typing import Any

import numpy as np

_RESAMPLES, _SEED = 2_000, 0
_FEW, _PIECE = 20, 64
"""The windows that are few, and the tokens of the pieces into which these are cut."""

Estimate = tuple[float, float | None, float | None]
"""A mean, and the bounds of its 95% interval; none where there is only one piece."""


def figures(right: np.ndarray, best: np.ndarray, windows: np.ndarray) -> dict[str, Any]:
    """Return perplexity and more; `right` are log-probabilities, `best` says where top-1 is."""
    likelihood, top1 = mean(right, windows), mean(best.astype(float), windows)
    return {
        "n": len(right),
        **_named("perplexity", _exp((-likelihood[0], *_negated(likelihood)))),
        **_named("log_likelihood", likelihood),
        **_named("top1", top1),
        "windows": int(windows[-1]) + 1,
    }


def mean(values: np.ndarray, windows: np.ndarray) -> Estimate:
    """Return the mean over tokens, with its 95% interval."""
    blocks = _blocks(windows)
    count = int(blocks[-1]) + 1
    sums = np.bincount(blocks, values.astype(np.float64), minlength=count)
    sizes = np.bincount(blocks, minlength=count)
    middle = float(sums.sum() / sizes.sum())
    if count == 1:
        return middle, None, None
    random = np.random.default_rng(_SEED)
    drawn = random.integers(count, size=(_RESAMPLES, count))
    low, high = np.quantile(sums[drawn].sum(1) / sizes[drawn].sum(1), [0.025, 0.975])
    return middle, float(low), float(high)


def _blocks(windows: np.ndarray) -> np.ndarray:
    """Number the blocks of tokens that an interval draws."""
    if windows[-1] + 1 >= _FEW:
        return windows
    starts = np.flatnonzero(np.diff(windows, prepend=-1))
    piece = (np.arange(len(windows)) - np.repeat(starts, np.bincount(windows))) // _PIECE
    numbers: np.ndarray = np.unique(np.stack([windows, piece], 1), axis=0, return_inverse=True)[1]
    return numbers.ravel()


def _named(name: str, found: Estimate) -> dict[str, Any]:
    return {name: found[0], f"{name}_95": list(found[1:])}


def _negated(found: Estimate) -> tuple[float | None, float | None]:
    _, low, high = found
    return (None, None) if low is None or high is None else (-high, -low)


def _exp(found: Estimate) -> Estimate:
    middle, low, high = (None if value is None else float(np.exp(value)) for value in found)
    assert middle is not None
    return middle, low, high


def apart(each: np.ndarray, windows: np.ndarray) -> dict[str, Any]:
    """Return how far a model is from the one that it is compared with.

    The columns of each token: KL, the log-probability and the probability that the right token
    lost and won, and whether the best token is the same.
    """
    divergence, lost, change, same = each.T
    return {
        **_named("kl", mean(divergence, windows)),
        "kl_p99": float(np.quantile(divergence, 0.99)),
        **_named("ratio", _exp(mean(lost, windows))),
        "rms_change": float(np.sqrt(np.mean(change**2))),
        **_named("same_top1", mean(same, windows)),
    }
