"""The contents of `latency_table.json`: the time that each part of a model takes on a device.

Times are milliseconds for one text, one for each length in `lengths`. A model's time is `rest` (the
embeddings, the head, the call itself) and the sum of its layers' heads and neurons.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from math import ceil
from pathlib import Path
from typing import Any, Literal

from jpqd.core import contents
from jpqd.core.contents import Part
from jpqd.core.errors import UserError

FILE = "latency_table.json"

_LEAST_MARGIN = 1.025
"""A machine is not the same from one minute to the next, however right a table was."""

Structure = Sequence[tuple[int, int]]
"""The number of heads and of neurons of each layer."""


class Times(Part):
    """The cost of a number of heads, or of neurons, in one layer: time, and room."""

    units: int
    ms: list[float]
    low: list[float]
    high: list[float]
    mb: float
    """Room in the file, ..."""
    peak_mb: float = 0.0
    """... and in memory, at most. It belongs to the whole process where it stands in `rest`."""


class Precision(Part):
    """All times at one precision, by the name that the recipe has for it."""

    name: str
    computes: str
    """The precision of the matrix products, such as `int8` or `bf16`."""
    rest: Times
    heads: list[Times]
    """Entries by number of heads, from 0 to all of them; between two entries costs grow evenly."""
    neurons: list[Times]
    """The same for neurons."""
    disturbed: float
    """The share of blocks in which other programs used the processors."""


class Checked(Part):
    """A whole model that was measured beside the table and not used for it."""

    structure: list[tuple[int, int]]
    precision: str
    predicted_ms: float
    measured_ms: float
    low: float
    high: float
    predicted_peak_mb: float = 0.0
    measured_peak_mb: float = 0.0
    by_length: list[tuple[float, float, float]] = []
    """`measured_ms`, `low` and `high` for each length; older tables have none."""


class LatencyTable(Part):
    device: str
    device_name: str
    threads: int
    layers: int
    heads: int
    neurons: int
    words: int = 0
    """The tokenizer's pieces, which size depends on; 0 in older tables."""
    lengths: list[int]
    shares: list[float]
    """The share of texts that have each length."""
    precisions: list[Precision]
    checked: list[Checked]
    environment: dict[str, Any]
    whole_ms: dict[str, float] = {}
    """The time of the model before any cut by precision, where it was measured beside `checked`."""

    def of(self, precision: str) -> Precision:
        for one in self.precisions:
            if one.name == precision:
                return one
        names = ", ".join(one.name for one in self.precisions)
        raise UserError(f"The latency table has no {precision!r}. It has {names}.")

    def times(self, structure: Structure, precision: str) -> list[float]:
        """Return the time of a whole model, one for each length."""
        table = self.of(precision)
        self._refuse_other_depth(structure)
        parts = [table.rest.ms]
        for heads, neurons in structure:
            parts += [_between(table.heads, heads).ms, _between(table.neurons, neurons).ms]
        return [sum(column) for column in zip(*parts, strict=True)]

    def p50_ms(self, structure: Structure, precision: str) -> float:
        """Return the time that half of the texts do not exceed."""
        if precision in self.whole_ms and list(structure) == self._whole():
            return self.whole_ms[precision]
        return middle(self.times(structure, precision), self.shares)

    def size_mb(self, structure: Structure, precision: str) -> float:
        """Return the size of the files of a whole model."""
        return self._sum("mb", structure, precision)

    def peak_mb(self, structure: Structure, precision: str) -> float:
        """Return the most memory of a process that runs this model and nothing else."""
        return self._sum("peak_mb", structure, precision)

    def _sum(self, name: Literal["mb", "peak_mb"], structure: Structure, precision: str) -> float:
        table = self.of(precision)
        self._refuse_other_depth(structure)
        parts = [table.rest]
        for heads, neurons in structure:
            parts += [_between(table.heads, heads), _between(table.neurons, neurons)]
        return sum(float(getattr(part, name)) for part in parts)

    def memory_error(self, precision: str) -> float:
        """Return the mean error of the memory of the models in `checked`."""
        own = [one for one in self.checked if one.precision == precision and one.measured_peak_mb]
        shares = [abs(one.predicted_peak_mb / one.measured_peak_mb - 1) for one in own]
        return sum(shares) / len(shares) if shares else 0.0

    def error(self, precision: str) -> float:
        """Return the mean error of the models in `checked`, as a share of what was measured."""
        own = [one for one in self.checked if one.precision == precision]
        return sum(abs(one.predicted_ms / one.measured_ms - 1) for one in own) / len(own)

    def margin(self, precision: str) -> float:
        """Return the times of its prediction that nine of ten checked models take at most."""
        own = [one for one in self.checked if one.precision == precision]
        ratios = sorted(one.measured_ms / one.predicted_ms for one in own)
        nine_of_ten = ratios[ceil(0.9 * len(ratios)) - 1] if ratios else 1.0
        return max(_LEAST_MARGIN, nine_of_ten)

    def _whole(self) -> list[tuple[int, int]]:
        return [(self.heads, self.neurons)] * self.layers

    def _refuse_other_depth(self, structure: Structure) -> None:
        """Refuse another number of layers: a layer without heads and neurons is part of `rest`."""
        if len(structure) != self.layers:
            raise ValueError(f"{len(structure)} layers, but the table is of {self.layers}")


def middle(values: Sequence[float], shares: Sequence[float]) -> float:
    """Return the median of values that come in these shares."""
    ordered = sorted(zip(values, shares, strict=True))
    below = accumulate(share for _, share in ordered)
    half = sum(shares) / 2
    return next(value for (value, _), share in zip(ordered, below, strict=True) if share >= half)


def _between(steps: Sequence[Times], units: int) -> Times:
    """Interpolate between the steps that were measured, by number of units."""
    above = next((index for index, step in enumerate(steps) if step.units >= units), None)
    if above is None or units < 0:
        raise ValueError(f"{units} units, but the table goes from 0 to {steps[-1].units}")
    high, low = steps[above], steps[max(0, above - 1)]
    if high.units == units:
        return high
    share = (units - low.units) / (high.units - low.units)

    def mixed(a: Sequence[float], b: Sequence[float]) -> list[float]:
        return [x + share * (y - x) for x, y in zip(a, b, strict=True)]

    mb, peak = mixed([low.mb, low.peak_mb], [high.mb, high.peak_mb])
    bounds = {"low": mixed(low.low, high.low), "high": mixed(low.high, high.high)}
    return Times(units=units, ms=mixed(low.ms, high.ms), mb=mb, peak_mb=peak, **bounds)


def save(table: LatencyTable, folder: Path) -> None:
    contents.save(table, folder / FILE)


def load(folder: Path) -> LatencyTable:
    return contents.load(folder / FILE, LatencyTable, "a latency table")
