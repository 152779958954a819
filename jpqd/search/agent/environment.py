"""An episode walks over the parts and keeps a share of each; its reward comes at the end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from jpqd.search.agent.observation import LEVELS, SEEN, Sight
from jpqd.search.agent.wall import Wall
from jpqd.search.space import Choice, nearest
from jpqd.search.strategy import Problem

OBSERVATIONS = spaces.Box(0.0, 1.0, (len(SEEN),), np.float32)
ACTIONS = spaces.Discrete(len(LEVELS))


class Walk(gymnasium.Env[np.ndarray, np.int64]):
    """Heads of the first layer, its neurons, and so on, each with an action: how much it keeps."""

    observation_space, action_space = OBSERVATIONS, ACTIONS

    def __init__(self, problem: Problem, judge: Callable[[Choice], float]) -> None:
        self.judge, self.wall = judge, Wall(problem.space, problem.limits)
        self.sight = Sight(problem.space, problem.values, problem.limits)
        self.levels = [[nearest(own, level) for level in LEVELS] for own in problem.space.options]
        self.chosen: Choice = ()
        self.last = 1.0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self.chosen, self.last = (), 1.0
        return self._seen(), {}

    def action_masks(self) -> np.ndarray:
        """Return which levels leave the limits in reach. To leave nothing is always allowed."""
        allowed = self.wall.open(self.chosen)[self.levels[len(self.chosen)]]
        allowed[0] = True
        return allowed

    def step(self, action: np.int64) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Keep a share of the next part; too large a one becomes the largest that is allowed."""
        level = int(np.flatnonzero(self.action_masks()[: int(action) + 1])[-1])
        self.chosen = (*self.chosen, self.levels[len(self.chosen)][level])
        self.last = LEVELS[level]
        done = len(self.chosen) == len(self.levels)
        return self._seen(), self.judge(self.chosen) if done else 0.0, done, False, {}

    def _seen(self) -> np.ndarray:
        return self.sight.at(self.chosen, self.last)
