"""The contract of a strategy: it asks for evaluations, and the caller keeps the best.

A strategy asks until it has nothing more to ask, or until `evaluate` raises Spent. The choices that
it asks for are within the limits.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

from jpqd.core.compression_plan import Figures
from jpqd.search.options import SearchOptions
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
    ahead: Callable[[Sequence[Choice]], None] = lambda choices: None
    """Say which choices come next, so that others can run them meanwhile."""
    together: int = 1
    """The number of choices that a strategy shall ask for at once, where it can."""

    def random(self) -> np.random.Generator:
        return np.random.default_rng(self.seed)

    def evaluate_all(self, choices: Sequence[Choice]) -> list[Figures]:
        self.ahead(choices)
        return [self.evaluate(choice) for choice in choices]

    def kl(self, choice: Choice) -> float:
        found = self.evaluate(choice).kl
        assert found is not None
        return found


class Strategy(ABC):
    @classmethod
    def of(cls, stage: SearchOptions, inputs: Mapping[str, Path]) -> Self:
        """Make the strategy of a stage; `inputs` are the folders of earlier stages."""
        return cls()

    @abstractmethod
    def search(self, problem: Problem) -> None:
        """Ask for evaluations, the most promising first."""

    def save(self, folder: Path) -> None:  # noqa: B027
        """Leave beside the plan what was learned."""
