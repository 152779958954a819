"""The reward of a choice, from an estimate or from an evaluation."""

from __future__ import annotations

from math import exp, log
from statistics import median

from jpqd.search.options import Reward
from jpqd.search.space import Choice
from jpqd.search.strategy import Problem

_TYPICAL_KL = 0.25
"""The KL that the same share of everything is taken to have until an evaluation says more."""


class Rewards:
    def __init__(self, problem: Problem, weights: Reward) -> None:
        self.problem, self.weights, space = problem, weights, problem.space
        self.whole_ms, self.whole_mb = space.p50_ms(space.whole), space.size_mb(space.whole)
        uniform = space.fitted([1.0] * len(space.options), problem.limits)
        self.scale = _TYPICAL_KL / max(self._harm(uniform), 1e-12)
        """The KL for each unit of estimated harm."""
        self.scales: list[float] = []

    def estimated(self, choice: Choice) -> float:
        """Return the reward by the tables. No model runs."""
        return self._reward(choice, self.scale * self._harm(choice))

    def evaluated(self, choice: Choice) -> float:
        """Return the reward by a run of the cut model."""
        kl = self.problem.kl(choice)
        if self._harm(choice) > 0:
            self.scales.append(kl / self._harm(choice))
            self.scale = median(self.scales)
        return self._reward(choice, kl)

    def _harm(self, choice: Choice) -> float:
        return float(sum(own[at] for own, at in zip(self.problem.values, choice, strict=True)))

    def _reward(self, choice: Choice, kl: float) -> float:
        space = self.problem.space
        compression = 1 - space.size_mb(choice) / self.whole_mb
        return reward(self.weights, exp(-kl), compression, self.whole_ms / space.p50_ms(choice))


def reward(weights: Reward, retention: float, compression: float, speedup: float) -> float:
    return (
        weights.retention * retention
        + weights.compression * compression
        + weights.speedup * log(speedup)
        - weights.shortfall * max(0.0, weights.floor - retention)
    )
