"""The same share of every part: what a recipe without a search would keep."""

from jpqd.search.strategy import Problem, Strategy


class Uniform(Strategy):
    def search(self, problem: Problem) -> None:
        shares = [1.0] * len(problem.space.options)
        problem.evaluate(problem.space.fitted(shares, problem.limits))
