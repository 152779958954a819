"""Random shares, as large as the limits allow: the control of every other strategy."""

from jpqd.search.strategy import Problem, Strategy


class Random(Strategy):
    def search(self, problem: Problem) -> None:
        random, space = problem.random(), problem.space
        while True:
            drawn = random.lognormal(0, _SPREAD, (problem.together, len(space.options)))
            problem.evaluate_all([space.fitted(list(own), problem.limits) for own in drawn])


_SPREAD = 0.5
"""The standard deviation of the logarithm of a share."""
