"""Two models on the same rows: how far apart they are, and how much of it may be chance.

Arrays are [runs, rows]: the same rows in every run, a run's baseline beside its stage. A row counts
once with all its runs, because runs that share a row are not independent of each other. An interval
therefore speaks of other rows of the same kind, not of other seeds: the spread of the seeds is
shown by their values. Rows on which two models never differ do not show that they never will, so
no interval is a single point.
"""

from collections.abc import Callable

import numpy as np
from scipy import special, stats

from jpqd.scores import entities
from jpqd.scores.metrics import Z95, wilson

RESAMPLES = 10_000
SEED = 0


def accuracy_difference(right: np.ndarray, baseline: np.ndarray) -> tuple[float, float, float]:
    """Return the mean over runs and rows of right minus baseline, with its 95% interval.

    The interval is the adjusted Wald interval for paired shares (Bonett and Price 2012, Journal of
    Educational and Behavioral Statistics 37, 479-488): two more rows, of which each side wins one.
    """
    gain = (right.astype(float) - baseline.astype(float)).mean(axis=0)
    more = np.append(gain, [1.0, -1.0])
    half = Z95 * more.std() / np.sqrt(len(more))
    low, high = more.mean() - half, more.mean() + half
    return float(gain.mean()), float(max(low, -1.0)), float(min(high, 1.0))


def pearson_difference(
    guess: np.ndarray,
    baseline: np.ndarray,
    truth: np.ndarray,
    resamples: int = RESAMPLES,
    seed: int = SEED,
) -> tuple[float, float, float]:
    """Return the mean over runs of the difference of the correlations, with its 95% interval."""

    def difference(weights: np.ndarray) -> float:
        return pearson(guess, truth, weights) - pearson(baseline, truth, weights)

    rows = len(truth)
    middle = difference(np.ones(rows))
    low, high = interval(_bootstrap(difference, rows, resamples, seed))
    return widened(middle, low, high, unseen(rows) if np.array_equal(guess, baseline) else 0.0)


def mean_interval(
    gain: np.ndarray, resamples: int = RESAMPLES, seed: int = SEED
) -> tuple[float, float, float]:
    """Return a mean over rows, with its 95% interval."""

    def mean(weights: np.ndarray) -> float:
        return float(gain @ weights / len(gain))

    low, high = interval(_bootstrap(mean, len(gain), resamples, seed))
    return float(gain.mean()), low, high


def spearman_difference(
    guess: np.ndarray, baseline: np.ndarray, truth: np.ndarray, resamples: int, seed: int = SEED
) -> tuple[float, float, float]:
    """Return the mean over runs of the difference of rank correlations, with its 95% interval.

    Ranks are those of all rows, as if they did not change with the rows that are drawn.
    """
    mine, others, right = (stats.rankdata(side, axis=-1) for side in (guess, baseline, truth))
    return pearson_difference(mine, others, right, resamples, seed)


def f1_difference(
    counts: np.ndarray, baseline: np.ndarray, resamples: int = RESAMPLES, seed: int = SEED
) -> tuple[float, float, float]:
    """Return the mean over runs of the difference of F1, with its 95% interval over rows.

    Counts are [runs, rows, 3]: entities that are right, that were guessed, that there are.
    """
    drawn = f1_resamples(counts, resamples, seed) - f1_resamples(baseline, resamples, seed)
    difference = entities.f1(counts.sum(1)) - entities.f1(baseline.sum(1))
    low, high = interval(drawn.mean(1))
    return widened(float(difference.mean()), low, high, unseen(counts.shape[1]))


def f1_interval(
    counts: np.ndarray, resamples: int = 2_000, seed: int = SEED
) -> tuple[float, float]:
    """Return the 95% interval of one run's F1 over rows; counts are [rows, 3]."""
    return interval(f1_resamples(counts[None], resamples, seed)[:, 0])


def f1_resamples(counts: np.ndarray, resamples: int, seed: int) -> np.ndarray:
    """Return F1 of every resample and run; the same seed draws the same rows."""
    random, rows = np.random.default_rng(seed), counts.shape[1]
    each = []
    for _ in range(resamples):
        drawn = np.bincount(random.integers(rows, size=rows), minlength=rows)
        each.append(entities.f1(np.tensordot(counts, drawn, axes=(1, 0))))
    return np.array(each)


def pearson(a: np.ndarray, b: np.ndarray, weights: np.ndarray | None = None) -> float:
    """Return the mean over runs of the correlation; zero for a constant, which orders nothing."""
    a, b = (np.atleast_2d(x).astype(np.float64) for x in (a, b))
    weights = np.ones(a.shape[1]) if weights is None else weights
    a, b = (_centred(x, weights) for x in (a, b))
    spread = np.sqrt((a * a) @ weights * ((b * b) @ weights))
    together = (a * b) @ weights
    return float(np.divide(together, spread, out=np.zeros_like(spread), where=spread > 0).mean())


def mcnemar(right: np.ndarray, baseline: np.ndarray) -> float | None:
    """Return the exact two-sided p of the rows that only one of the two gets right.

    Return None for several runs: the test needs independent pairs, and a row's runs are not.
    """
    if len(right) > 1:
        return None
    won, lost = int((right & ~baseline).sum()), int((~right & baseline).sum())
    return float(stats.binomtest(won, won + lost).pvalue) if won + lost else 1.0


def divergence(logits: np.ndarray, baseline: np.ndarray) -> float:
    """Return the mean Kullback-Leibler divergence of the probabilities, in nats."""
    mine, others = (special.log_softmax(x.astype(np.float64), axis=-1) for x in (logits, baseline))
    return float((np.exp(others) * (others - mine)).sum(axis=-1).mean())


def agreement(classes: np.ndarray, baseline: np.ndarray) -> float:
    """Return the share of answers with the same predicted class, whether right or wrong."""
    return float((classes == baseline).mean())


def agreement_interval(classes: np.ndarray, baseline: np.ndarray, rows: int) -> list[float]:
    """Return the 95% interval of the agreement. A text counts as one row, however many words."""
    return wilson(agreement(classes, baseline) * rows, rows)


def unseen(rows: int) -> float:
    """Return the 95% bound of the share of rows that differ, where none of these does.

    It is the score interval's bound for no event (Tango 1998, Statistics in Medicine 17, 891-908),
    which the rule of three approximates.
    """
    return Z95**2 / (rows + Z95**2)


def _bootstrap(
    measure: Callable[[np.ndarray], float], rows: int, resamples: int, seed: int
) -> np.ndarray:
    """Return the measure of each resample, given how often each row was drawn."""
    random = np.random.default_rng(seed)
    draws = (random.integers(rows, size=rows) for _ in range(resamples))
    return np.array([measure(np.bincount(draw, minlength=rows)) for draw in draws])


def widened(middle: float, low: float, high: float, least: float) -> tuple[float, float, float]:
    """Return an estimate whose interval reaches at least `least` to both sides."""
    return middle, min(low, middle - least), max(high, middle + least)


def interval(drawn: np.ndarray) -> tuple[float, float]:
    low, high = np.quantile(drawn, [0.025, 0.975])
    return float(low), float(high)


def _centred(x: np.ndarray, weights: np.ndarray) -> np.ndarray:
    moved = x - x[:, :1]  # a constant becomes zero exactly, not what rounding leaves of it
    centred: np.ndarray = moved - (moved @ weights / weights.sum())[:, None]
    return centred
