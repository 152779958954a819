"""Percentiles only where the sample bears them; a slowdown is found, noise is not called one."""

import numpy as np
import pytest

from jpqd.core.bench_result import Estimate
from runtime_bench.measure import blocks, statistics
from runtime_bench.measure.blocks import Plan

TRIALS = 20


@pytest.mark.parametrize(("share", "floor"), [(0.5, 5), (0.9, 29), (0.95, 59), (0.99, 299)])
def test_no_percentile_below_its_floor(share: float, floor: int) -> None:
    samples = np.arange(1.0, floor + 1)
    assert statistics.percentile(samples, share).value is not None
    refused = statistics.percentile(samples[1:], share)
    assert refused.value is None
    assert refused.needs == floor


def test_a_percentile_is_a_sample_between_its_bounds() -> None:
    found = statistics.percentile(np.arange(1.0, 1001.0), 0.99)
    assert (found.low, found.value, found.high) == (983, 990, 997)


@pytest.mark.parametrize("share", [0.5, 0.95])
def test_intervals_hold_the_true_percentile_as_often_as_they_say(share: float) -> None:
    random, truth, held = np.random.default_rng(1), -np.log(1 - share), 0
    for _ in range(500):
        found = statistics.percentile(random.exponential(size=400), share)
        assert found.low is not None and found.high is not None
        held += found.low <= truth <= found.high
    assert 0.93 <= held / 500 <= 0.99


class Machine:
    """Arms on a machine that others disturb: its speed drifts, and now and then it stops."""

    def __init__(self, milliseconds: dict[str, float], seed: int) -> None:
        self.milliseconds, self.random = milliseconds, np.random.default_rng(seed)
        self.drift, self.now = 0.0, 0.0
        self.lengths = self.random.lognormal(0, 0.4, 200)

    def run(self, arm: str, indices: list[int]) -> np.ndarray:
        return np.array([self._one(arm, index) for index in indices])

    def _one(self, arm: str, index: int) -> float:
        self.drift = 0.98 * self.drift + self.random.normal(0, 0.03)
        stall = 4.0 if self.random.random() < 0.02 else 0.0
        noise = self.random.normal(0, 0.05)
        spent = self.milliseconds[arm] * self.lengths[index] * np.exp(self.drift + noise) + stall
        self.now += spent / 1e3
        return float(spent)


class Quiet:
    def begin(self) -> None: ...

    def disturbed(self) -> bool:
        return False


def called_different(milliseconds: dict[str, float], seed: int) -> bool:
    machine = Machine(milliseconds, seed)
    arms = [*milliseconds]
    found = blocks.measure(
        arms, 200, Plan(30, 20, 1e9), machine.run,
        seed=seed, watch=Quiet(), stop=lambda: False, clock=lambda: machine.now,
    )  # fmt: skip
    ratio = statistics.paired_ratio(found.blocks[arms[0]], found.blocks[arms[1]])
    return statistics.differs(ratio)


def test_a_planted_slowdown_of_a_tenth_is_found() -> None:
    hits = sum(called_different({"base": 2.0, "arm": 2.2, "c": 1.0}, s) for s in range(TRIALS))
    assert hits >= 19


def test_equal_arms_are_not_called_different() -> None:
    alarms = sum(called_different({"base": 2.0, "arm": 2.0, "c": 1.0}, s) for s in range(TRIALS))
    assert alarms <= 1


def test_the_ratio_is_of_the_same_requests() -> None:
    """Long and short requests in turn: unpaired, the ratio would be anything."""
    base = [np.array([10.0, 100.0, 1000.0]) for _ in range(6)]
    found = statistics.paired_ratio(base, [block / 4 for block in base])
    assert (found.value, found.low, found.high) == pytest.approx((4, 4, 4))


def test_too_few_blocks_have_no_interval_and_differ_from_nothing() -> None:
    blocks = [np.array([1.0])] * 4
    found = statistics.paired_ratio([block * 3 for block in blocks], blocks)
    assert found.value == pytest.approx(3)
    assert found.low is None
    assert not statistics.differs(found)


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(1.01, 1.2, False), (1.03, 1.2, True), (0.9, 0.97, True), (0.9, 0.99, False)],
)
def test_a_difference_is_more_than_two_processes_of_one_model_have(
    low: float, high: float, expected: bool
) -> None:
    assert statistics.differs(Estimate(value=1.0, low=low, high=high)) is expected
