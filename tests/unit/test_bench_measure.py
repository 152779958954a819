"""Blocks: the same requests for all, mirrored turns, and an end that keeps what is whole."""

from collections import Counter

import numpy as np

from runtime_bench.measure import blocks
from runtime_bench.measure.blocks import Plan

ARMS = ["a", "b", "c"]


class Busy:
    """Disturbed in the blocks that are named."""

    def __init__(self, *blocks: int) -> None:
        self.blocks, self.block = blocks, -1

    def begin(self) -> None:
        self.block += 1

    def disturbed(self) -> bool:
        return self.block in self.blocks


def seconds(_: str, indices: list[int]) -> np.ndarray:
    return np.array(indices, float)


def run(plan: Plan, **more: object) -> blocks.Measured:
    options = {"seed": 1, "watch": Busy(), "stop": lambda: False, "clock": lambda: 0.0, **more}
    return blocks.measure(ARMS, 10, plan, seconds, **options)  # type: ignore[arg-type]


def test_every_arm_answers_the_same_requests_in_every_block() -> None:
    found = run(Plan(7, 4, 1.0))
    for block in range(7):
        answered = [found.blocks[arm][block].tolist() for arm in ARMS]
        assert answered[0] == answered[1] == answered[2]
        assert answered[0] == [(4 * block + offset) % 10 for offset in range(4)]


def test_turns_are_mirrored_in_a_block_and_drawn_anew_for_the_next() -> None:
    drawn = list(blocks.schedule(ARMS, 10, Plan(12, 4, 1.0), seed=5))
    orders = [[arm for arm, _ in turns] for turns in drawn]
    assert all(order == order[::-1] and sorted(order[:3]) == ARMS for order in orders)
    assert len({tuple(order) for order in orders}) > 3
    again = [[arm for arm, _ in t] for t in blocks.schedule(ARMS, 10, Plan(12, 4, 1.0), seed=5)]
    assert again == orders


def test_a_stop_leaves_the_block_that_it_cut_out_for_all_arms() -> None:
    calls = Counter[str]()

    def stop() -> bool:
        calls["asked"] += 1
        return calls["asked"] > 2 * 6 + 4  # in the middle of the third block

    found = run(Plan(9, 4, 1.0), stop=stop)
    assert not found.complete
    assert {arm: len(blocks) for arm, blocks in found.blocks.items()} == {"a": 2, "b": 2, "c": 2}
    assert len(found.started) == 2


def test_disturbed_blocks_are_numbered_and_kept() -> None:
    found = run(Plan(6, 2, 1.0), watch=Busy(1, 4))
    assert found.disturbed == [1, 4]
    assert len(found.blocks["a"]) == 6


def test_a_machine_that_became_slower_costs_blocks_and_not_the_promise() -> None:
    now = iter(range(100))
    found = run(Plan(10, 2, 4.0), clock=lambda: float(next(now)))
    assert found.complete
    assert 5 <= len(found.started) < 10


def test_the_plan_fills_the_time() -> None:
    plan = blocks.plan([8.0, 2.0], seconds=30, blocks=30)
    assert plan.requests % 2 == 0
    assert 28 <= plan.seconds <= 30


def test_slow_arms_get_fewer_blocks_rather_than_blocks_of_nothing() -> None:
    plan = blocks.plan([400.0, 100.0], seconds=30, blocks=30, least=4)
    assert (plan.requests, plan.blocks) == (4, 10)
    slower = blocks.plan([4000.0], seconds=10, blocks=30, least=4)
    assert slower.blocks == 5
    assert slower.seconds > 10  # and says so
