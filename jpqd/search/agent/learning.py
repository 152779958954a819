"""The agent's learning: PPO with masks, on estimates, which are free, then on evaluations."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from sb3_contrib import MaskablePPO
from stable_baselines3.common.vec_env import DummyVecEnv

from jpqd.core.compression_plan import Figures
from jpqd.search.agent.environment import Walk
from jpqd.search.agent.policy import NETWORK, Weights
from jpqd.search.agent.rewards import Rewards
from jpqd.search.options import Reward
from jpqd.search.space import Choice
from jpqd.search.strategy import Problem

_TOGETHER = 16
"""The episodes on estimates that are walked at once."""
_ROUNDS = 40
"""The number of times that the policy learns from so many episodes on estimates."""
_EVALUATED = 4
"""The evaluated episodes from which the policy learns at once."""


class Learner:
    def __init__(self, problem: Problem, weights: Reward, start: Weights | None) -> None:
        self.rewards, self.parts = Rewards(problem, weights), len(problem.space.options)
        self.problem = problem
        self.free = self._ppo(self.rewards.estimated, _TOGETHER, self.parts)
        self.paid = self._ppo(self.rewards.evaluated, 1, _EVALUATED * self.parts)
        self.paid.policy = self.free.policy
        if start:
            self.free.policy.load_state_dict(start)

    @property
    def weights(self) -> Weights:
        return {name: value.clone() for name, value in self.free.policy.state_dict().items()}

    def estimate(self) -> None:
        """Learn from estimates."""
        self.free.learn(_ROUNDS * _TOGETHER * self.parts)

    def evaluate(self) -> None:
        """Learn from evaluated episodes, one round."""
        self.paid.learn(self.paid.n_steps)

    def walk(self) -> Choice:
        """Evaluate what the policy takes for the best."""
        walk = Walk(self.problem, self.rewards.evaluated)
        seen, done = walk.reset()[0], False
        while not done:
            masks = walk.action_masks()
            action, _ = self.free.predict(seen, action_masks=masks, deterministic=True)
            seen, _, done, _, _ = walk.step(np.int64(action))
        return walk.chosen

    def _ppo(self, judge: Callable[[Choice], float], together: int, steps: int) -> MaskablePPO:
        walks = DummyVecEnv([lambda: Walk(self.problem, judge)] * together)
        return MaskablePPO(
            "MlpPolicy", walks, n_steps=steps, batch_size=together * steps // 2, n_epochs=8,
            learning_rate=2e-3, gamma=1.0, gae_lambda=1.0, ent_coef=0.002,
            policy_kwargs={"net_arch": NETWORK}, seed=self.problem.seed, device="cpu",
        )  # fmt: skip


@contextmanager
def own_randomness() -> Iterator[None]:
    """Give back the random state that was found. PPO draws from, and seeds, that of the process."""
    python, numpy = random.getstate(), np.random.get_state()
    with torch.random.fork_rng():
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)


def shielded(evaluate: Callable[[Choice], Figures]) -> Callable[[Choice], Figures]:
    """Let a run of a model draw nothing from PPO: a stored result draws nothing either."""

    def shield(choice: Choice) -> Figures:
        with own_randomness():
            return evaluate(choice)

    return shield
