"""Parzen estimators, by Optuna: shares of the parts, as large as the limits allow."""

from jpqd.search.strategies import _optuna
from jpqd.search.strategy import Problem, Strategy


class Tpe(Strategy):
    def __init__(self) -> None:
        self.optuna = _optuna.load("strategy: tpe")

    def search(self, problem: Problem) -> None:
        sampler = self.optuna.samplers.TPESampler(
            seed=problem.seed, constant_liar=problem.together > 1
        )
        study = self.optuna.create_study(sampler=sampler)
        _optuna.run(
            study,
            problem,
            lambda shares: problem.space.fitted(shares, problem.limits),
            time=False,
        )
