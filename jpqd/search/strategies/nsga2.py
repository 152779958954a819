"""A genetic algorithm for two aims, time and KL, by Optuna: it also finds faster models."""

from __future__ import annotations

from collections.abc import Sequence

from jpqd.search.space import Choice
from jpqd.search.strategies import _optuna
from jpqd.search.strategy import Problem, Strategy

_POPULATION = 8


class Nsga2(Strategy):
    def __init__(self) -> None:
        self.optuna = _optuna.load("strategy: nsga2")

    def search(self, problem: Problem) -> None:
        sampler = self.optuna.samplers.NSGAIISampler(population_size=_POPULATION, seed=problem.seed)
        study = self.optuna.create_study(directions=["minimize", "minimize"], sampler=sampler)

        def decode(shares: Sequence[float]) -> Choice:
            found = problem.space.nearest(shares)
            fits = problem.space.within(found, problem.limits)
            return found if fits else problem.space.fitted(shares, problem.limits)

        _optuna.run(study, problem, decode, time=True)
