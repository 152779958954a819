"""The models that are measured: uneven ones, as pruning leaves them.

Layers that are all alike would be faster than they are in a pruned model: the second one runs the
machine code that the first one has just run.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

Structure = list[tuple[int, int]]
"""The number of heads and of neurons of each layer."""

FITTED, CHECKED = 24, 12
"""The random models that the table is made of, and those that it is checked with."""
_MOST_LAYERS = 12
"""Deeper models are measured with this many layers, which takes less time to build. With half of
a model's layers its weights stay in caches that are too small for the whole: MPNet's table was
12 to 24% too fast for a fifth of the encoder at 24 tokens."""
_DEEP = (0.06, 0.15, 0.4)
"""The shares of random models that tell what further layers cost without their parts."""
_MOST_EMPTY = 6
"""OpenVINO compiles four times as long with each empty layer more: half an hour for twelve."""
_DEAD = 0.1
"""The share of layers without heads, and of those without neurons."""


@dataclass(frozen=True)
class Whole:
    """The dense model, and the step in which neurons go."""

    layers: int
    heads: int
    neurons: int
    step: int

    @property
    def dense(self) -> Structure:
        return [(self.heads, self.neurons)] * self.layers


@dataclass(frozen=True)
class Models:
    fitted: list[Structure]
    checked: list[Structure]
    shared: tuple[int, ...]
    """The numbers of fitted models that every group has: a large and a small one."""


def knots(units: int, step: int) -> list[int]:
    """Return the numbers of units at which costs are known: close together where there are few."""
    found = [0]
    while step < units:
        found.append(step)
        step *= 2
    return [*found, units]


def models(whole: Whole) -> Models:
    """Return the models to measure: the least one, the dense one, and random ones between them."""
    layers, random = min(whole.layers, _MOST_LAYERS), np.random.default_rng(0)
    bounds = [_least(whole, layers), whole.dense[:layers]]
    fitted = [_drawn(whole, layers, s, random) for s in np.geomspace(0.04, 0.9, FITTED)]
    if layers < whole.layers:
        fitted += [_drawn(whole, whole.layers, s, random) for s in _DEEP]
    checked = [_drawn(whole, whole.layers, s, random) for s in np.geomspace(0.05, 0.8, CHECKED)]
    return Models([*bounds, *fitted], checked, shared=(1, 1 + FITTED // 2))


def _least(whole: Whole, layers: int) -> Structure:
    """Return the smallest model that compiles in seconds."""
    if layers <= _MOST_EMPTY:
        return [(0, 0)] * layers
    return [(1, 0) if layer % 2 else (0, whole.step) for layer in range(layers)]


def _drawn(whole: Whole, layers: int, share: float, random: np.random.Generator) -> Structure:
    """Draw a model with about this share of its units, spread unevenly over the layers."""

    def units(most: int, step: int) -> int:
        if random.random() < _DEAD:
            return 0
        spread = min(share, 1 - share)
        return round((share + spread * random.uniform(-1, 1)) * most / step) * step

    return [(units(whole.heads, 1), units(whole.neurons, whole.step)) for _ in range(layers)]
