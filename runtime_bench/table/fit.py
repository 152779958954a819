"""The costs of heads and neurons, found from whole models by least squares.

A model costs `rest` and what the heads and neurons of its layers cost, which grows in straight
pieces between the knots and never falls. Errors count in proportion to a model's time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import nnls

from jpqd.core.latency_table import Times
from runtime_bench.table import structures
from runtime_bench.table.structures import Structure, Whole


@dataclass(frozen=True)
class Costs:
    """Costs at the knots, one column for each length."""

    rest: np.ndarray
    heads: np.ndarray
    neurons: np.ndarray


class Parts:
    """Splits the cost of whole models into the costs of their parts."""

    def __init__(self, whole: Whole, models: Sequence[Structure]) -> None:
        self.heads = structures.knots(whole.heads, 1)
        self.neurons = structures.knots(whole.neurons, whole.step)
        deep = [float(len(model) > len(models[0])) for model in models]
        heads = [_pieces(self.heads, [layer[0] for layer in model]) for model in models]
        neurons = [_pieces(self.neurons, [layer[1] for layer in model]) for model in models]
        self.rows = np.column_stack([np.ones(len(models)), deep, heads, neurons])

    def costs(self, totals: np.ndarray) -> Costs:
        """Find costs, given the total of each model for each length."""
        solved = np.array([_solve(self.rows, column) for column in totals.T]).T
        rest, heads, neurons = np.split(solved, [2, 1 + len(self.heads)])
        return Costs(rest.sum(0, keepdims=True), _from_zero(heads), _from_zero(neurons))


def _pieces(knots: list[int], units: Sequence[int]) -> np.ndarray:
    """Say how far a model's layers go, together, into each piece between two knots."""
    low, high = np.array(knots[:-1]), np.array(knots[1:])
    found: np.ndarray = sum(np.clip((one - low) / (high - low), 0, 1) for one in units)
    return found


def _solve(rows: np.ndarray, totals: np.ndarray) -> np.ndarray:
    solved: np.ndarray = nnls(rows / totals[:, None], np.ones(len(totals)))[0]
    return solved


def _from_zero(pieces: np.ndarray) -> np.ndarray:
    return np.vstack([np.zeros(pieces.shape[1]), pieces.cumsum(0)])


@dataclass(frozen=True)
class Steps:
    """The entries of a table at one precision."""

    rest: Times
    heads: list[Times]
    neurons: list[Times]


def steps(parts: Parts, totals: np.ndarray, drawn: np.ndarray, room: np.ndarray) -> Steps:
    """Find the table's entries; `drawn` are totals of blocks drawn again, `room` MB on disk and
    in memory.
    """
    ms, mb = parts.costs(totals), parts.costs(room)
    bounds = [parts.costs(one) for one in drawn]

    def entries(name: str, units: list[int]) -> list[Times]:
        low, high = np.quantile([getattr(one, name) for one in bounds], [0.025, 0.975], axis=0)
        columns = (getattr(ms, name), low, high, getattr(mb, name))
        return [
            Times(units=unit, ms=list(a), low=list(b), high=list(c), mb=size, peak_mb=peak)
            for unit, a, b, c, (size, peak) in zip(units, *columns, strict=True)
        ]

    (rest,) = entries("rest", [0])
    return Steps(rest, entries("heads", parts.heads), entries("neurons", parts.neurons))
