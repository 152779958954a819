"""Dynamic programming: the least sum of harm within the limits, then other answers near it.

The values are estimates, which the exact answer trusts most. So it is tried beside the answers
with no layer without heads and with no part empty, and beside the greedy one. The evaluations that
are left go to answers for values that are changed at random, from the best so far.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from jpqd.search.space import Choice, Limits, Space, Values
from jpqd.search.strategies import greedy
from jpqd.search.strategy import Problem, Strategy

_MOST = 20_000
"""The number of partial choices that go on to the next part."""
_SPREAD = 0.4
"""The standard deviation of the logarithm by which the values of a part are changed."""
_CLOSER = 0.995


class Dp(Strategy):
    def search(self, problem: Problem) -> None:
        def solved(values: Values) -> Choice:
            return solve(problem.space, values, problem.limits)

        def tried(several: list[Values], *more: Choice) -> list[tuple[float, Values]]:
            found = problem.evaluate_all([*map(solved, several), *more])
            return [(one.kl or 0.0, own) for one, own in zip(found, several, strict=False)]

        random, given = problem.random(), problem.values
        full = [_full(given, parts) for parts in (slice(0, None, 2), slice(None))]
        by_steps = greedy.solve(problem.space, given, problem.limits)
        best = min(tried([given, *full], by_steps), key=_kl)
        while True:
            changed = [_changed(best[1], random) for _ in range(problem.together)]
            best = min(best, *tried(changed), key=_kl)


def _kl(tried: tuple[float, Values]) -> float:
    return tried[0]


def _full(values: Values, parts: slice) -> Values:
    """Make it the worst harm that nothing of these parts is left."""
    worst = 1e6 * sum(float(own.max()) for own in values) + 1
    chosen = range(len(values))[parts]
    return [
        np.concatenate([[worst], own[1:]]) if part in chosen and len(own) > 1 else own
        for part, own in enumerate(values)
    ]


def _changed(values: Values, random: np.random.Generator) -> Values:
    factors = random.lognormal(0, _SPREAD, len(values))
    return [own * factor for own, factor in zip(values, factors, strict=True)]


@dataclass(frozen=True)
class _Partial:
    """Choices for the first parts."""

    costs: np.ndarray
    """A column for each limit, as shares of what it leaves for the parts."""
    harm: np.ndarray
    options: np.ndarray
    """A column for each part."""

    def of(self, rows: np.ndarray) -> _Partial:
        return _Partial(self.costs[rows], self.harm[rows], self.options[rows])


def solve(space: Space, values: Values, limits: Limits) -> Choice:
    """Return the best choice: exact for one limit unless there are very many good ones."""
    aim = limits
    while not space.within(found := _best(space, values, aim), limits) and found != space.least:
        # Another length than usual may be the median here, whose times do not add up to the costs.
        aim = Limits(aim.ms * _CLOSER, aim.mb * _CLOSER)
    return found


def _best(space: Space, values: Values, limits: Limits) -> Choice:
    costs = _costs(space, limits)
    rest = [cost.min(0) for cost in costs]
    found = _Partial(np.zeros((1, costs[0].shape[1])), np.zeros(1), np.zeros((1, 0), np.int16))
    for part, (cost, harm) in enumerate(zip(costs, values, strict=True)):
        found = _longer(found, cost, harm)
        fits = (found.costs + sum(rest[part + 1 :]) <= 1).all(1)
        found = _thinned(found.of(np.flatnonzero(fits)))
    if not len(found.harm):
        return space.least
    best = found.options[int(found.harm.argmin())]
    return tuple(int(option) for option in best)


def _costs(space: Space, limits: Limits) -> list[np.ndarray]:
    """Return the costs of each part's options, as shares of the room that the limits leave."""
    columns = [
        [cost / max(limit - rest, 1e-9) for cost in each]
        for each, limit, rest in (
            (space.ms, limits.ms, space.rest_ms),
            (space.mb, limits.mb, space.rest_mb),
        )
        if limit < float("inf")
    ]
    return [np.stack(part, 1) for part in zip(*columns, strict=True)]


def _longer(found: _Partial, cost: np.ndarray, harm: np.ndarray) -> _Partial:
    """Continue each partial choice with each option of the next part."""
    before, option = np.divmod(np.arange(len(found.harm) * len(harm)), len(harm))
    options = np.column_stack([found.options[before], option.astype(np.int16)])
    return _Partial(found.costs[before] + cost[option], found.harm[before] + harm[option], options)


def _thinned(found: _Partial) -> _Partial:
    """Leave out what another one beats in costs and harm; of very many, the best of each cell."""
    if found.costs.shape[1] == 1:
        found = found.of(_undominated(found.costs[:, 0], found.harm))
    if len(found.harm) <= _MOST:
        return found
    side = round(_MOST ** (1 / found.costs.shape[1]))
    cells = (found.costs * side).astype(np.int64) @ (side + 1) ** np.arange(found.costs.shape[1])
    order = np.argsort(found.harm, kind="stable")
    return found.of(order[np.unique(cells[order], return_index=True)[1]])


def _undominated(cost: np.ndarray, harm: np.ndarray) -> np.ndarray:
    """Return the rows with less harm than every cheaper one."""
    order: np.ndarray = np.lexsort((harm, cost))
    least = np.minimum.accumulate(harm[order])
    return order[np.flatnonzero(np.diff(least, prepend=np.inf) < 0)]
