"""The contents of `latency_table.json`: the time that each part of a model takes on a device.

Times are milliseconds for one text, one for each length in `lengths`. A model's time is `rest` (the
embeddings, the head, the call itself) and the sum of its layers' heads and neurons.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from jpqd.core.errors import UserError

FILE = "latency_table.json"

Structure = Sequence[tuple[int, int]]
"""The number of heads and of neurons of each layer."""


class Part(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Times(Part):
    """The cost of a number of heads, or of neurons, in one layer."""

    units: int
    ms: list[float]
    low: list[float]
    high: list[float]


class Precision(Part):
    """All times at one precision: what the device computes in, such as `int8` or `bf16`."""

    name: str
    rest: Times
    heads: list[Times]
    """The times of each number of heads, from 0 to all of them."""
    neurons: list[Times]
    head_mb: float
    """The size that a head adds to the file, ..."""
    neuron_mb: float
    rest_mb: float
    """... and the file of a model without heads and neurons."""


class Checked(Part):
    """A whole model that was measured beside the table and not used for it."""

    structure: list[tuple[int, int]]
    precision: str
    predicted_ms: float
    measured_ms: float
    low: float
    high: float


class LatencyTable(Part):
    device: str
    device_name: str
    threads: int
    layers: int
    heads: int
    neurons: int
    lengths: list[int]
    shares: list[float]
    """The share of texts that have each length."""
    precisions: list[Precision]
    checked: list[Checked]
    environment: dict[str, Any]

    def of(self, precision: str) -> Precision:
        for one in self.precisions:
            if one.name == precision:
                return one
        names = ", ".join(one.name for one in self.precisions)
        raise UserError(f"The latency table has no {precision!r}. It has {names}.")

    def times(self, structure: Structure, precision: str) -> list[float]:
        """Return the time of a whole model, one for each length."""
        table = self.of(precision)
        parts = [table.rest.ms]
        for heads, neurons in structure:
            parts += [_between(table.heads, heads), _between(table.neurons, neurons)]
        return [sum(column) for column in zip(*parts, strict=True)]

    def p50_ms(self, structure: Structure, precision: str) -> float:
        """Return the time that half of the texts do not exceed."""
        return middle(self.times(structure, precision), self.shares)

    def size_mb(self, structure: Structure, precision: str) -> float:
        table = self.of(precision)
        units = [heads * table.head_mb + neurons * table.neuron_mb for heads, neurons in structure]
        return table.rest_mb + sum(units)


def middle(values: Sequence[float], shares: Sequence[float]) -> float:
    """Return the median of values that come in these shares."""
    ordered = sorted(zip(values, shares, strict=True))
    below = accumulate(share for _, share in ordered)
    half = sum(shares) / 2
    return next(value for (value, _), share in zip(ordered, below, strict=True) if share >= half)


def _between(steps: Sequence[Times], units: int) -> list[float]:
    """Interpolate between the steps that were measured, by number of units."""
    above = next((index for index, step in enumerate(steps) if step.units >= units), None)
    if above is None:
        raise ValueError(f"{units} units, but the table ends at {steps[-1].units}")
    high, low = steps[above], steps[max(0, above - 1)]
    if high.units == units:
        return high.ms
    share = (units - low.units) / (high.units - low.units)
    return [a + share * (b - a) for a, b in zip(low.ms, high.ms, strict=True)]


def save(table: LatencyTable, folder: Path) -> None:
    (folder / FILE).write_text(table.model_dump_json(indent=1), encoding="utf-8")


def load(folder: Path) -> LatencyTable:
    path = folder / FILE
    try:
        return LatencyTable.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, ValidationError) as error:
        raise UserError(f"{path} cannot be read as a latency table: {error}") from error
