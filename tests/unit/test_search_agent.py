"""The agent: limits stay in reach, the environment keeps gymnasium's contract, policies move."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from jpqd.core.compression_plan import Figures, Structure
from jpqd.core.errors import UserError
from jpqd.search.agent import learning, policy, rewards
from jpqd.search.agent.environment import Walk
from jpqd.search.agent.observation import LEVELS, SEEN, Sight
from jpqd.search.options import Reward
from jpqd.search.space import Choice, Limits, Space, Values
from jpqd.search.strategies.agent import Agent
from jpqd.search.strategy import Problem, Spent
from tests.helpers import latency, small


def space(layers: int = 3, lengths: tuple[int, ...] = (24,)) -> Space:
    model = small.of("bert", **{**small.SIZES, "num_hidden_layers": layers})
    sizes: Structure = ((4, 24),) * layers
    shares = tuple(1 / len(lengths) for _ in lengths)
    return Space(sizes, latency.table(model, lengths, shares), "int8")


SPACE, TWO_LENGTHS = space(), space(lengths=(12, 24))
for step in TWO_LENGTHS.table.of("int8").heads[1:]:
    step.ms[0] *= 3  # the whole model is slowest at one length, small ones at the other


def harms(space: Space) -> Values:
    return [
        np.linspace(1, 0, len(own)) ** 2 * (len(space.options) - part)
        for part, own in enumerate(space.options)
    ]


class Asked:
    """Evaluations of a made-up model, which draws random numbers as a real one may."""

    def __init__(self, space: Space, budget: int, *, draws: int = 0) -> None:
        self.space, self.budget, self.draws = space, budget, draws
        self.choices: list[Choice] = []
        self.asks = 0

    def __call__(self, choice: Choice) -> Figures:
        self.asks += 1
        if self.asks > 5 * self.budget:
            raise Spent
        if choice not in self.choices:
            if len(self.choices) == self.budget:
                raise Spent
            self.choices.append(choice)
        torch.rand(self.draws)
        np.random.rand(self.draws)
        harm = sum(own[at] for own, at in zip(harms(self.space), choice, strict=True))
        structure = self.space.structure(choice)
        return Figures(layers=structure, p50_ms=1, size_mb=1, loss=harm, kl=0.1 * harm, score=0.9)


def problem(space: Space = SPACE, share: float = 0.5, budget: int = 6, draws: int = 0) -> Problem:
    low, high = space.p50_ms(space.least), space.p50_ms(space.whole)
    limits = Limits(low + share * (high - low) + 1e-12)
    return Problem(space, harms(space), limits, Asked(space, budget, draws=draws), seed=1)


def asked(of: Problem) -> list[Choice]:
    assert isinstance(of.evaluate, Asked)
    return of.evaluate.choices


def searched(agent: Agent, of: Problem) -> list[Choice]:
    with pytest.raises(Spent):
        agent.search(of)
    return asked(of)


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learning, "_ROUNDS", 3)


@settings(deadline=None, max_examples=80)
@given(share=st.floats(0.0, 1.0), seed=st.integers(0, 10_000), two=st.booleans())
def test_masks_allow_only_what_can_still_reach_the_limits(
    share: float, seed: int, two: bool
) -> None:
    found = problem(TWO_LENGTHS if two else SPACE, share)
    whole, random = found.space, np.random.default_rng(seed)
    walk = Walk(found, lambda _: 0.0)
    walk.reset()
    for part in range(len(whole.options)):
        masks = walk.action_masks()
        assert masks[0]
        for level, allowed in enumerate(masks):
            choice = (*walk.chosen, walk.levels[part][level], *whole.least[part + 1 :])
            assert allowed == whole.within(choice, found.limits)
        walk.step(np.int64(random.choice(np.flatnonzero(masks))))
    assert whole.within(walk.chosen, found.limits)


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_the_environment_keeps_the_contract_of_gymnasium(
    share: float, recwarn: pytest.WarningsRecorder
) -> None:
    check_env(Walk(problem(share=share), lambda choice: float(sum(choice))), skip_render_check=True)
    assert [str(one.message) for one in recwarn] == []


@given(share=st.floats(0.0, 1.0), actions=st.lists(st.integers(0, len(LEVELS) - 1), min_size=6))
@settings(deadline=None, max_examples=30)
def test_an_action_behind_the_wall_keeps_the_most_that_is_allowed(
    share: float, actions: list[int]
) -> None:
    found = problem(share=share)
    walk = Walk(found, lambda _: 7.0)
    walk.reset()
    for action in actions[:6]:
        seen, reward, done, _, _ = walk.step(np.int64(action))
        assert seen in walk.observation_space
    assert (reward, done) == (7.0, True)
    assert found.space.within(walk.chosen, found.limits)


def test_what_is_seen_does_not_depend_on_the_size_of_a_model() -> None:
    """A table twice as slow and harm of another unit look the same."""
    slow = space()
    for precision in slow.table.precisions:
        for step in (precision.rest, *precision.heads, *precision.neurons):
            step.ms[:] = [2 * ms for ms in step.ms]
    slow = Space(slow.sizes, slow.table, "int8")
    limits = Limits(0.5 * SPACE.p50_ms(SPACE.whole))
    ours = Sight(SPACE, harms(SPACE), limits)
    theirs = Sight(slow, [5 * own for own in harms(slow)], Limits(2 * limits.ms))
    for chosen in ((), (1,), (1, 2, 0)):
        np.testing.assert_allclose(ours.at(chosen, 0.5), theirs.at(chosen, 0.5), rtol=1e-5)
    assert dict(zip(SEEN, ours.at((), 1.0), strict=True))["to come"] == 1
    assert dict(zip(SEEN, ours.at(SPACE.whole, 1.0), strict=True))["reduced"] == 0


def test_a_reward_is_the_sum_of_its_weights() -> None:
    weights = Reward(retention=1.0, compression=2.0, speedup=3.0, shortfall=4.0, floor=0.9)
    assert rewards.reward(weights, 0.9, 0.5, math.e) == pytest.approx(0.9 + 1 + 3)
    assert rewards.reward(weights, 0.7, 0.5, math.e) == pytest.approx(0.7 + 1 + 3 - 0.8)


def test_estimates_are_scaled_by_what_was_evaluated() -> None:
    found = problem()
    judge = rewards.Rewards(found, Reward())
    assert judge.estimated(SPACE.least) != pytest.approx(judge.evaluated(SPACE.least))
    assert judge.estimated(SPACE.least) == pytest.approx(judge.evaluated(SPACE.least))


def test_the_agent_learns_the_estimates() -> None:
    """Before it learned, it keeps about as much of parts that matter as of the others."""
    found = problem(space(6), budget=40)
    learner = learning.Learner(found, Reward(), None)
    walked = [learner.walk()]
    for _ in range(3):
        learner.estimate()
        walked.append(learner.walk())
    before, *_, after = (learner.rewards.estimated(choice) for choice in walked)
    assert after > before


def test_runs_that_draw_random_numbers_change_nothing() -> None:
    """A result from the store draws none, and the search goes on as it would have."""
    state = torch.get_rng_state()
    assert searched(Agent(), problem()) == searched(Agent(), problem(draws=3))
    assert torch.equal(torch.get_rng_state(), state)


def test_a_saved_policy_does_the_same_and_is_no_pickle(tmp_path: Path) -> None:
    agent = Agent()
    searched(agent, problem())
    agent.save(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["policy.json", "policy.safetensors"]
    assert all(not path.read_bytes().startswith((b"\x80", b"PK")) for path in tmp_path.iterdir())
    again = policy.load(tmp_path, "earlier")
    first = learning.Learner(problem(), Reward(), agent.policy)
    second = learning.Learner(problem(), Reward(), again)
    assert first.walk() == second.walk()
    assert all(torch.equal(own, again[name]) for name, own in (agent.policy or {}).items())


def test_a_policy_moves_to_a_model_of_another_depth() -> None:
    agent = Agent()
    searched(agent, problem())
    learned = agent.policy
    deep = problem(space(5), budget=3)
    choices = searched(Agent(policy=learned), deep)
    assert choices[0] == learning.Learner(problem(space(5)), Reward(), learned).walk()
    assert all(deep.space.within(choice, deep.limits) for choice in choices)
    assert len(choices) <= 3


def test_a_policy_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="'earlier' left no policy"):
        policy.load(tmp_path, "earlier")
    policy.save(policy.fresh().state_dict(), tmp_path)
    policy.load(tmp_path, "earlier")
    path = tmp_path / policy.FACTS
    facts = json.loads(path.read_text())
    path.write_text(json.dumps({**facts, "levels": [0.0, 1.0]}))
    with pytest.raises(UserError, match="other things than an agent of this version"):
        policy.load(tmp_path, "earlier")
    path.write_text(json.dumps(facts))
    weights = policy.fresh().state_dict()
    save_file({name: tensor + 1 for name, tensor in weights.items()}, tmp_path / policy.WEIGHTS)
    with pytest.raises(UserError, match="its weights were changed"):
        policy.load(tmp_path, "earlier")
    (tmp_path / policy.WEIGHTS).write_bytes(b"\x80\x04 no weights")
    with pytest.raises(UserError, match="cannot be read"):
        policy.load(tmp_path, "earlier")


@pytest.mark.parametrize("package", ["gymnasium", "sb3_contrib"])
def test_a_missing_library_is_said(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(UserError, match=r"pip install 'jpqd\[rl\]'"):
        Agent()
