"""The figures that the agent sees: all from 0 to 1 and free of a model's size.

So a policy can move to a model of another depth and width.
"""

from __future__ import annotations

import numpy as np

from jpqd.search.space import Limits, Space, Values, nearest

LEVELS = (0.0, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.65, 0.8, 1.0)
"""The shares of a part that an action keeps, as near as the part's options come to it."""
_HARMS = (0.0, 0.1, 0.3, 0.6)
"""The shares of a part whose harm is seen."""
SEEN = (
    "depth", "neurons", "time", "size", *(f"harm at {share:g}" for share in _HARMS),
    "to come", "reduced", "room", "last action", "limit of time", "limit of size",
)  # fmt: skip
_DECADES = 6.0


class Sight:
    def __init__(self, space: Space, values: Values, limits: Limits) -> None:
        self.ms = np.array([cost[-1] for cost in space.ms])
        self.mb = np.array([cost[-1] for cost in space.mb])
        self.space = space
        self.left = np.array([limits.ms - space.rest_ms, limits.mb - space.rest_mb])
        self.target = np.clip(
            [limits.ms / space.p50_ms(space.whole), limits.mb / space.size_mb(space.whole)], 0, 1
        )
        self.fixed = np.column_stack([*_places(len(space.options)), _beside(self.ms),
                                      _beside(self.mb), _harms(space, values)])  # fmt: skip

    def at(self, chosen: tuple[int, ...], last: float) -> np.ndarray:
        """Return what is seen before the part that comes after those chosen."""
        part = min(len(chosen), len(self.ms) - 1)
        ms = sum(self.space.ms[index][option] for index, option in enumerate(chosen))
        mb = sum(self.space.mb[index][option] for index, option in enumerate(chosen))
        whole, to_come = max(self.ms.sum(), 1e-12), self.ms[len(chosen) :].sum()
        coming = np.array([to_come, self.mb[len(chosen) :].sum()])
        room = ((self.left - [ms, mb]) / np.maximum(coming, 1e-12)).min()
        seen = [to_come / whole, (whole - to_come - ms) / whole, room, last, *self.target]
        return np.array([*self.fixed[part], *seen], np.float32).clip(0, 1)


def _places(parts: int) -> tuple[np.ndarray, np.ndarray]:
    """Return how deep each part lies, and whether it is of neurons."""
    layer, neurons = np.divmod(np.arange(parts), 2)
    return layer / max(1, parts // 2 - 1), neurons


def _beside(costs: np.ndarray) -> np.ndarray:
    """Set costs beside their mean: equal ones are all one half."""
    beside: np.ndarray = costs / np.maximum(costs + costs.mean(), 1e-12)
    return beside


def _harms(space: Space, values: Values) -> np.ndarray:
    """Return harm on a logarithmic scale around what an emptied part typically does."""
    typical = float(np.median([own[0] for own in values])) or 1.0
    seen = [[own[nearest(options, share)] for share in _HARMS]
            for own, options in zip(values, space.options, strict=True)]  # fmt: skip
    decades = np.log10(np.maximum(np.array(seen) / typical, 1e-12))
    return np.clip(0.5 + decades / _DECADES, 0, 1)
