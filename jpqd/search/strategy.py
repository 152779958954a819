"""The contract of a strategy: it asks for evaluations, and the caller keeps the best.

A strategy asks until it has nothing more to ask, or until `evaluate` raises Spent. The choices that
it asks for are within the limits.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
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

    def random(self) -> np.random.Generator:
        return np.random.default_rng(self.seed)

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
