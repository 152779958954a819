"""The options of each part of a model, and what they cost by a latency table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf

import numpy as np

from jpqd.core.compression_plan import Structure
from jpqd.core.latency_table import LatencyTable, middle
from jpqd.methods.prune.surgeon import Order

Choice = tuple[int, ...]
"""The number of an option for each part: heads of the first layer, its neurons, and so on."""
Values = Sequence[np.ndarray]
"""The harm that each option of each part does."""


@dataclass(frozen=True)
class Limits:
    ms: float = inf
    mb: float = inf


class Space:
    """The heads and the neurons of each layer are the parts; the table's steps are the options."""

    def __init__(
        self, sizes: Structure, table: LatencyTable, precision: str, floor: float = 0.0
    ) -> None:
        self.sizes, self.table, self.precision = sizes, table, precision
        times = table.of(precision)
        self.options = [
            _steps([step.units for step in steps], have, floor)
            for heads, neurons in sizes
            for steps, have in ((times.heads, heads), (times.neurons, neurons))
        ]
        self.whole: Choice = tuple(len(options) - 1 for options in self.options)
        self.least: Choice = (0,) * len(self.options)
        self._typical = self._typical_length()
        self.rest_ms, self.rest_mb = self._cost(self.least)
        self.ms = [self._costs(part)[0] for part in range(len(self.options))]
        self.mb = [self._costs(part)[1] for part in range(len(self.options))]

    def harms(self, orders: Sequence[Order | None]) -> list[np.ndarray]:
        """Return the harm of each option of each part; all that a part has does none."""
        return [
            np.array([order.harm_with(units) if order else 0.0 for units in options])
            for order, options in zip(orders, self.options, strict=True)
        ]

    def structure(self, choice: Choice) -> Structure:
        units = [options[index] for options, index in zip(self.options, choice, strict=True)]
        return tuple(zip(units[::2], units[1::2], strict=True))

    def p50_ms(self, choice: Choice) -> float:
        return self.table.p50_ms(self.structure(choice), self.precision)

    def size_mb(self, choice: Choice) -> float:
        return self.table.size_mb(self.structure(choice), self.precision)

    def within(self, choice: Choice, limits: Limits) -> bool:
        return self.p50_ms(choice) <= limits.ms and self.size_mb(choice) <= limits.mb

    def fitted(self, shares: Sequence[float], limits: Limits) -> Choice:
        """Keep shares of the parts in this proportion, as many as the limits allow."""
        low, high = 0.0, 1 / max(min(shares), 1e-3)
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            fits = self.within(self.nearest([share * middle for share in shares]), limits)
            low, high = (middle, high) if fits else (low, middle)
        return self.nearest([share * low for share in shares])

    def nearest(self, shares: Sequence[float]) -> Choice:
        """Choose the options nearest to these shares of each part."""
        return tuple(nearest(*part) for part in zip(self.options, shares, strict=True))

    def _typical_length(self) -> int:
        """Find the length whose time is the median; times add up for a single length only."""
        times = self.table.times(self.structure(self.whole), self.precision)
        return times.index(middle(times, self.table.shares))

    def _costs(self, part: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the time and the size that each option of a part adds to the least model."""
        alone = [
            self._cost((*self.least[:part], index, *self.least[part + 1 :]))
            for index in range(len(self.options[part]))
        ]
        ms, mb = np.array(alone).T
        return ms - self.rest_ms, mb - self.rest_mb

    def _cost(self, choice: Choice) -> tuple[float, float]:
        times = self.table.times(self.structure(choice), self.precision)
        return times[self._typical], self.size_mb(choice)


_HALVINGS = 30


def nearest(options: tuple[int, ...], share: float) -> int:
    """Return the number of the option that is nearest to this share of all."""
    return min(range(len(options)), key=lambda index: abs(options[index] - share * options[-1]))


def _steps(measured: Sequence[int], have: int, floor: float) -> tuple[int, ...]:
    """Return the steps that a part can go down to, and all that it has."""
    return (*(units for units in measured if floor * have <= units < have), have)
