"""The limits ahead: which options of the next part leave them in reach."""

from __future__ import annotations

import numpy as np

from jpqd.search.space import Choice, Limits, Space

_NEAR = 1e-9


class Wall:
    """An option is allowed where it fits together with the cheapest rest: parts with nothing."""

    def __init__(self, space: Space, limits: Limits) -> None:
        self.space, self.limits = space, limits
        self.rest = self._times(space.least)
        self.times = [
            np.array([self._times(self._with((*space.least[:part], option)))
                      for option in range(len(own))]) - self.rest
            for part, own in enumerate(space.options)
        ]  # fmt: skip
        """The times that each option of a part adds, a column for each length."""

    def open(self, chosen: Choice) -> np.ndarray:
        """Return for each option of the next part whether the limits stay in reach."""
        space, part = self.space, len(chosen)
        times = self.rest + sum(own[at] for own, at in zip(self.times, chosen, strict=False))
        mb = space.rest_mb + sum(own[at] for own, at in zip(space.mb, chosen, strict=False))
        needed = np.column_stack([self._p50(times + self.times[part]), mb + space.mb[part]])
        room = 1 - needed / [self.limits.ms, self.limits.mb]
        fits: np.ndarray = np.all(room >= 0, axis=1)
        for option in np.flatnonzero(np.abs(room).min(1) < _NEAR):  # sums were rounded
            fits[option] = space.within(self._with((*chosen, int(option))), self.limits)
        return fits

    def _with(self, chosen: Choice) -> Choice:
        return (*chosen, *self.space.least[len(chosen) :])

    def _times(self, choice: Choice) -> np.ndarray:
        return np.array(self.space.table.times(self.space.structure(choice), self.space.precision))

    def _p50(self, times: np.ndarray) -> np.ndarray:
        """Return the time of each row that half of the texts do not exceed."""
        shares = np.array(self.space.table.shares)
        order = times.argsort(1)
        half = shares[order].cumsum(1) >= shares.sum() / 2
        found: np.ndarray = np.take_along_axis(times, order, 1)[
            np.arange(len(times)), half.argmax(1)
        ]
        return found
