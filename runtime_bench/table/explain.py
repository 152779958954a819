"""The table of one precision, from measured models, and what it says about the others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from jpqd.core.latency_table import Checked, LatencyTable, Precision, middle
from runtime_bench.table import fit
from runtime_bench.table.fit import Parts
from runtime_bench.table.groups import Measured
from runtime_bench.table.structures import Models, Whole

_DRAWS = 200
"""The times that blocks are drawn again for an interval."""
_INTERVAL = (0.025, 0.975)


def precision(name: str, measured: Measured, models: Models, whole: Whole) -> Precision:
    """Explain the times, sizes and memory of the fitted models by their parts."""
    count = len(models.fitted)
    sizes = _ordered(measured, [times.sizes for _, times in measured])
    parts = Parts(whole, models.fitted)
    steps = fit.steps(
        parts,
        middles(measured)[:count],
        _drawn(measured)[:, :count],
        np.column_stack([sizes / 1e6, _peaks(measured)])[:count],
    )
    return Precision(
        name=name,
        computes=measured[0][1].computes,
        rest=steps.rest,
        heads=steps.heads,
        neurons=steps.neurons,
        disturbed=float(np.mean([times.disturbed for _, times in measured])),
    )


def checked(
    name: str, measured: Measured, models: Models, table: LatencyTable
) -> Iterator[Checked]:
    """Set the times of models that the table does not know beside what it predicts."""
    count = len(models.fitted)
    ms, drawn = middles(measured)[count:], _drawn(measured)[:, count:]
    peaks = _peaks(measured)[count:]
    for number, structure in enumerate(models.checked):
        again = [middle(list(row), table.shares) for row in drawn[:, number]]
        low, high = np.quantile(again, _INTERVAL)
        lows, highs = np.quantile(drawn[:, number], _INTERVAL, axis=0)
        yield Checked(
            structure=structure,
            precision=name,
            predicted_ms=table.p50_ms(structure, name),
            measured_ms=middle(list(ms[number]), table.shares),
            low=low,
            high=high,
            predicted_peak_mb=table.peak_mb(structure, name),
            measured_peak_mb=float(peaks[number]),
            by_length=list(zip(ms[number].tolist(), lows.tolist(), highs.tolist(), strict=True)),
        )


def checked_again(one: Checked, table: LatencyTable) -> Checked:
    """Return a checked model's times for a table whose lengths come in other shares."""
    columns = zip(*one.by_length, strict=True)
    measured, low, high = (middle(column, table.shares) for column in columns)
    predicted = table.p50_ms(one.structure, one.precision)
    times = {"predicted_ms": predicted, "measured_ms": measured, "low": low, "high": high}
    return one.model_copy(update=times)


def middles(measured: Measured) -> np.ndarray:
    """Return the median of each model and length."""
    return _joined(measured, [times.middles() for _, times in measured])


def _peaks(measured: Measured) -> np.ndarray:
    return _ordered(measured, [times.peaks for _, times in measured])


def _drawn(measured: Measured) -> np.ndarray:
    """Return the medians over blocks that are drawn again."""
    random = np.random.default_rng(0)
    return np.array(
        [_joined(measured, [times.again(random) for _, times in measured]) for _ in range(_DRAWS)]
    )


def _joined(measured: Measured, parts: Sequence[np.ndarray]) -> np.ndarray:
    """Put the times of groups on one scale, that of their mean, and in the order of all models."""
    numbers = [numbers for numbers, _ in measured]
    logs = [np.log(part) for part in parts]
    shared = set(numbers[0]).intersection(*numbers)
    levels = [
        log[np.isin(own, list(shared))].mean(0) for own, log in zip(numbers, logs, strict=True)
    ]
    scaled = [log - level for log, level in zip(logs, levels, strict=True)]
    found: np.ndarray = np.exp(_ordered(measured, scaled) + np.mean(levels, axis=0))
    return found


def _ordered(measured: Measured, parts: Sequence[np.ndarray]) -> np.ndarray:
    """Put what groups have of each model into the order of all models; of shared ones the mean."""
    numbers = np.concatenate([numbers for numbers, _ in measured])
    every = np.concatenate(parts)
    return np.array([every[numbers == number].mean(0) for number in range(numbers.max() + 1)])
