"""A search's budget: spent on one pair of limits, or on the fastest model that is good enough."""

from __future__ import annotations

from contextlib import suppress
from math import ceil, inf, sqrt

from jpqd.core.compression_plan import Figures
from jpqd.search import targets
from jpqd.search.evaluator import Evaluator
from jpqd.search.options import SearchOptions
from jpqd.search.space import Choice, Limits
from jpqd.search.strategy import Problem, Spent, Strategy

_ROUNDS = 6
"""The number of times that a limit is tried on the way to the fastest model."""


class Rounds:
    def __init__(
        self, stage: SearchOptions, evaluator: Evaluator, strategy: Strategy, seed: int
    ) -> None:
        self.stage, self.evaluator, self.strategy, self.seed = stage, evaluator, strategy, seed
        self.limits = targets.limits(evaluator.space, stage.target, stage.margin)

    def run(self) -> Figures:
        """Let the strategy search, and return the best that it found."""
        if self.stage.target.accuracy_drop is None or self.limits.ms < inf:
            self._search(self.limits, 1.0)
            return self.best()[0]
        return self._fastest()

    def best(self) -> list[Figures]:
        """Return what keeps all targets, the nearest first; else what keeps the limits."""
        fits = self.evaluator.within(self.limits)
        if self.stage.target.accuracy_drop is None:
            return fits
        return [found for found in fits if self._keeps(found)] or fits

    def _search(self, limits: Limits, share: float) -> bool:
        """Search within limits until this share of the budget is spent.

        Return whether anything at all is known of them now.
        """
        known: list[Figures] = []

        def evaluate(choice: Choice) -> Figures:
            known.append(evaluator.evaluate(choice))
            return known[-1]

        evaluator, stage = self.evaluator, self.stage
        evaluator.allow(ceil(stage.evaluations * share), 60 * stage.minutes * share)
        problem = Problem(
            evaluator.space, evaluator.values, limits, evaluate, self.seed,
            ahead=evaluator.ahead, together=stage.together or 1,
        )  # fmt: skip
        with suppress(Spent):
            self.strategy.search(problem)
        return bool(known)

    def _fastest(self) -> Figures:
        """Halve the range of times, so that the next is the fastest at which little is lost."""
        space = self.evaluator.space
        low, high = space.p50_ms(space.least), space.p50_ms(space.whole)
        for number in range(_ROUNDS):
            limits = Limits(sqrt(low * high), self.limits.mb)
            known = self._search(limits, (number + 1) / _ROUNDS)
            if good := self._good(limits):
                high = min(figures.p50_ms for figures in good)
            elif known:
                low = limits.ms
        found = self._good(self.limits) or self.evaluator.within(self.limits)[:1]
        return min(found, key=lambda figures: figures.p50_ms)

    def _good(self, limits: Limits) -> list[Figures]:
        """Return what was found within the limits that does not lose too much."""
        whole = self.evaluator.whole
        fits = [f for f in (whole,) if f.p50_ms <= limits.ms and f.size_mb <= limits.mb]
        found = [*self.evaluator.within(limits), *fits]
        return [f for f in found if self._keeps(f)]

    def _keeps(self, found: Figures) -> bool:
        most = self.stage.target.accuracy_drop or 0
        return targets.drop(found, self.evaluator.whole) <= most
