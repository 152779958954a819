"""Step by step down from the whole model: each step does the least harm for what it saves."""

from __future__ import annotations

from collections.abc import Iterator

from jpqd.search.space import Choice, Limits, Space, Values
from jpqd.search.strategy import Problem, Strategy


class Greedy(Strategy):
    def search(self, problem: Problem) -> None:
        problem.evaluate(solve(problem.space, problem.values, problem.limits))


def solve(space: Space, values: Values, limits: Limits) -> Choice:
    """Return the first choice on the way down that is within the limits."""
    choice = space.whole
    while not space.within(choice, limits):
        choice = min(_steps(space, values, limits, choice))[1]
    return choice


def _steps(
    space: Space, values: Values, limits: Limits, choice: Choice
) -> Iterator[tuple[float, Choice]]:
    """Yield every way down from here with its price: harm for each share of a limit saved."""
    for part, now in enumerate(choice):
        for option in range(now):
            saved = (space.ms[part][now] - space.ms[part][option]) / limits.ms
            saved += (space.mb[part][now] - space.mb[part][option]) / limits.mb
            harm = values[part][option] - values[part][now]
            # A step that saves nothing is the last resort.
            price = harm / saved if saved > 0 else float("inf")
            yield float(price), (*choice[:part], option, *choice[part + 1 :])
