"""The choice of units: the most valuable ones for their cost, until the budget is spent."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Pool:
    """Units of one kind in one layer, which compete with all others."""

    layer: int
    scores: np.ndarray
    """The score of each member; higher is better."""
    cost: int
    """The number of weights of one member."""
    block: int = 1
    """The number of members that are kept or dropped together, in the order of their scores."""
    least: int = 0
    most: int | None = None


@dataclass(frozen=True)
class _Unit:
    pool: int
    members: tuple[int, ...]
    value: float
    cost: int
    rank: int


def choose(pools: Sequence[Pool], budget: float) -> list[tuple[int, ...]]:
    """Return the members of every pool that stay, in order, within the budget where possible."""
    units = [unit for index, pool in enumerate(pools) for unit in _units(index, pool)]
    kept: list[list[int]] = [[] for _ in pools]
    closed = [False] * len(pools)
    forced = [unit for unit in units if unit.rank < pools[unit.pool].least]
    for unit in forced:
        kept[unit.pool] += unit.members
        budget -= unit.cost
    free = [unit for unit in units if unit.rank >= pools[unit.pool].least]
    for unit in sorted(free, key=lambda unit: (-unit.value, unit.pool, unit.rank)):
        most = pools[unit.pool].most
        over = most is not None and unit.rank + len(unit.members) > most
        # A pool keeps its best: what comes after one that did not fit does not go in either.
        closed[unit.pool] = closed[unit.pool] or over or unit.cost > budget
        if not closed[unit.pool]:
            kept[unit.pool] += unit.members
            budget -= unit.cost
    return [tuple(sorted(members)) for members in kept]


def _units(index: int, pool: Pool) -> list[_Unit]:
    order = np.argsort(-pool.scores, kind="stable")
    units = []
    for start in range(0, len(order), pool.block):
        members = order[start : start + pool.block]
        value = float(pool.scores[members].mean())
        cost = pool.cost * len(members)
        units.append(_Unit(index, tuple(int(m) for m in members), value, cost, start))
    return units


def best(scores: np.ndarray, count: int) -> tuple[int, ...]:
    """Return the members with the highest scores, in order."""
    return tuple(sorted(int(member) for member in np.argsort(-scores, kind="stable")[:count]))


def extremes(pools: Sequence[Pool]) -> tuple[int, int]:
    """Return the least and the most weights that can be kept."""
    least = sum(_least(pool) * pool.cost for pool in pools)
    most = sum(_most(pool) * pool.cost for pool in pools)
    return least, most


def _least(pool: Pool) -> int:
    """Return the least number of members in whole blocks; the last block may be smaller."""
    return min(len(pool.scores), -(-pool.least // pool.block) * pool.block)


def _most(pool: Pool) -> int:
    if pool.most is None or pool.most >= len(pool.scores):
        return len(pool.scores)
    return max(_least(pool), pool.most // pool.block * pool.block)
