"""Percentiles with intervals, ratios of paired blocks, and when two arms differ.

A percentile's interval is distribution-free: the order statistics that hold it with 95% by the
binomial distribution. Below the number of samples in which even the largest one is no 95% bound
(one-sided), there is no percentile: 5 for p50, 29 for p90, 59 for p95, 299 for p99. A two-sided
interval takes a few more (368 for p99); until then its upper end is the largest sample, which is a
bound with 95% on its own.

A ratio is taken within each block, in which all arms had the same requests at the same time; the
interval comes from drawing whole blocks again, since neighbours in time are not independent.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import stats

from jpqd.core.bench_result import Estimate, Latency

RESAMPLES, SEED = 2_000, 0
FEWEST_BLOCKS = 5
MARGIN = 0.02
"""Processes with the same model differ by about a percent, depending on their memory."""


def needed(share: float) -> int:
    """Return the fewest samples for which a percentile has an upper bound that holds with 95%."""
    return math.ceil(math.log(0.05) / math.log(share))


def percentile(samples: np.ndarray, share: float) -> Estimate:
    """Return a percentile and its 95% interval; no value where `samples` are too few."""
    n = len(samples)
    if n < needed(share):
        return Estimate(needs=needed(share))
    ordered = np.sort(samples)
    low = int(stats.binom.ppf(0.025, n, share))
    high = int(stats.binom.ppf(0.975, n, share))
    return Estimate(
        value=float(ordered[math.ceil(n * share) - 1]),
        low=float(ordered[max(low - 1, 0)]),
        high=float(ordered[min(high, n - 1)]),
    )


def latency(blocks: list[np.ndarray]) -> Latency:
    """Summarize latencies in milliseconds, one array for each block."""
    samples = np.concatenate(blocks)
    return Latency(
        n=len(samples),
        mean=mean(blocks),
        p50=percentile(samples, 0.50),
        p90=percentile(samples, 0.90),
        p95=percentile(samples, 0.95),
        p99=percentile(samples, 0.99),
    )


def mean(blocks: list[np.ndarray]) -> Estimate:
    """Return the mean over blocks of similar length; resampled blocks give the interval."""
    return _bootstrap(np.array([block.mean() for block in blocks]), np.mean)


def middle(values: np.ndarray) -> Estimate:
    """Return the median over blocks of one figure for each block."""
    return _bootstrap(values, np.median)


def paired_ratio(over: list[np.ndarray], under: list[np.ndarray]) -> Estimate:
    """Return how many times larger `over` is than `under`, block by block, on the same requests.

    A block's ratio is the median of its requests' ratios: one that was interrupted counts little.
    """
    logs = [np.median(np.log(a / b)) for a, b in zip(over, under, strict=True)]
    ratio = middle(np.array(logs))
    return Estimate(value=_exp(ratio.value), low=_exp(ratio.low), high=_exp(ratio.high))


def differs(ratio: Estimate, margin: float = MARGIN) -> bool:
    """Return whether the whole interval is farther from 1 than two processes of one model."""
    if ratio.low is None or ratio.high is None:
        return False
    return ratio.low > 1 + margin or ratio.high < 1 / (1 + margin)


def _bootstrap(values: np.ndarray, measure: Callable[..., Any]) -> Estimate:
    """Return the measure of the blocks' values, with an interval from five blocks on."""
    value = float(measure(values))
    if len(values) < FEWEST_BLOCKS:
        return Estimate(value=value)
    random = np.random.default_rng(SEED)
    drawn = values[random.integers(len(values), size=(RESAMPLES, len(values)))]
    low, high = np.quantile(measure(drawn, axis=1), [0.025, 0.975])
    return Estimate(value=value, low=float(low), high=float(high))


def _exp(value: float | None) -> float | None:
    return None if value is None else math.exp(value)
