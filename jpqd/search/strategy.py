"""The contract of a strategy: it asks for evaluations, and the caller keeps the best.

A strategy asks until it has nothing more to ask, or until `evaluate` raises Spent. The choices that
it asks for are within the limits.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from jpqd.core.compression_plan import Figures
from jpqd.search.space import Choice, Limits, Space, Values


class Spent(Exception):
    """No evaluation is left."""


@dataclass(frozen=True)
class Problem:
    """The least KL within the limits is wanted."""

    space: Space
    values: Values
    limits: Limits
    evaluate: Callable[[Choice], Figures]
    """Cut the model to a choice and run it."""
    seed: int

    def random(self) -> np.random.Generator:
        return np.random.default_rng(self.seed)

    def kl(self, choice: Choice) -> float:
        found = self.evaluate(choice).kl
        assert found is not None
        return found


class Strategy(ABC):
    @abstractmethod
    def search(self, problem: Problem) -> None:
        """Ask for evaluations, the most promising first."""
