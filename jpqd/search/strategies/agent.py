"""An agent that learns to walk over the parts: masked PPO, by stable-baselines3.

It learns on estimates, which cost nothing, then from what is evaluated.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Self

from jpqd.core.errors import UserError
from jpqd.search.options import Reward, SearchOptions
from jpqd.search.strategy import Problem, Strategy

if TYPE_CHECKING:
    from jpqd.search.agent.policy import Weights


class Agent(Strategy):
    def __init__(self, reward: Reward | None = None, policy: Weights | None = None) -> None:
        _library()
        self.reward, self.policy = reward or Reward(), policy

    @classmethod
    def of(cls, stage: SearchOptions, inputs: Mapping[str, Path]) -> Self:
        made = cls(stage.reward)
        if stage.policy:
            from jpqd.search.agent import policy

            folder = inputs.get(stage.policy) or Path(stage.policy).expanduser()
            made.policy = policy.load(folder, stage.policy)
        return made

    def search(self, problem: Problem) -> None:
        from jpqd.search.agent.learning import Learner, own_randomness, shielded

        with own_randomness():
            evaluate = shielded(problem.evaluate)
            learner = Learner(replace(problem, evaluate=evaluate), self.reward, self.policy)
            try:
                if not self.policy:
                    learner.estimate()
                learner.walk()  # of a policy that was given: what it knows without this model
                learner.estimate()
                learner.walk()
                while True:
                    learner.evaluate()
            finally:
                self.policy = learner.weights

    def save(self, folder: Path) -> None:
        from jpqd.search.agent import policy

        if self.policy:
            policy.save(self.policy, folder)


def _library() -> None:
    try:
        import gymnasium  # noqa: F401
        import sb3_contrib  # noqa: F401
    except ImportError:
        raise UserError(
            "strategy: agent needs gymnasium and sb3-contrib, which are not installed. "
            "Try: pip install 'jpqd[rl]'. Or leave the strategy out."
        ) from None
