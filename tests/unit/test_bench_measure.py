"""Blocks: the same requests for all, mirrored turns, and an end that keeps what is whole."""

from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest

from jpqd.core.bench_result import Compiled
from jpqd.core.progress import Progress
from runtime_bench.machine import host
from runtime_bench.measure import blocks
from runtime_bench.measure.blocks import Plan
from runtime_bench.measure.crew import Crew
from runtime_bench.measure.session import Session
from runtime_bench.measure.worker import Inside
from runtime_bench.options import Settings
from tests.helpers import made_bench
from tests.helpers.leaking import Leaking, LeakingSession

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


def of_crew(crew: Crew, seconds: float) -> Session:
    arms = [SimpleNamespace(name=name) for name in crew.workers]
    job = SimpleNamespace(arms=arms, settings=Settings(), threads=1)
    return Session(job, crew, Progress(quiet=True), seconds)  # type: ignore[arg-type]


def test_a_turn_of_throughput_fills_the_longest_queue() -> None:
    """Eight requests for 64 streams would tell the time of an empty queue."""
    crew = Crew()
    for name, requests in (("torch", 1), ("ir", 64)):
        compiled = Compiled(streams=None, requests=requests, threads=64, properties={})
        crew.facts[name] = {"compiled": {"throughput": compiled}}
    paces = {"torch": 50.0, "ir": 1.0}
    plan = of_crew(crew, 200.0)._plan("throughput", paces)
    assert plan.requests == 2 * 4 * 64
    short = of_crew(crew, 60.0)._plan("throughput", paces)
    assert short.requests > 200
    assert short.seconds <= 60.0  # whatever the queue holds
    assert of_crew(crew, 60.0)._plan("latency", paces).blocks == 30


class Noting(Leaking):
    def open(self) -> LeakingSession:
        return NotingSession(self.kept)


class NotingSession(LeakingSession):
    def call(self, index: int) -> None:
        self.leaked.append(bytes([index]))


def test_the_request_before_a_turn_warms_up() -> None:
    """The first one itself would come a second time, and its change of shape cost nothing."""
    inside = Inside(Noting(path="nowhere", threads=1, kept=0))
    inside.prepare([{"input_ids": np.ones((1, length))} for length in (8, 9, 10, 11)])
    for turn, called in (([2, 3], [1, 2, 3]), ([0, 1], [3, 0, 1])):
        before = len(inside.session.leaked)  # type: ignore[attr-defined]
        assert len(inside.run(turn)[0]) == 2
        assert b"".join(inside.session.leaked[before:]) == bytes(called)  # type: ignore[attr-defined]


def test_no_latency_of_the_open_loop_is_understated() -> None:
    """A request that is sent a little early counts from then: this one takes next to no time."""
    inside = Inside(Leaking(path="nowhere", threads=1, kept=1))
    late, _ = inside.serve([0] * 200, 500.0, seed=1)
    assert (late > 0).all()


def test_energy_is_of_the_first_workload(monkeypatch: pytest.MonkeyPatch) -> None:
    used, each = [0.0], [2.0]

    def ask(_: str, indices: list[int]) -> tuple[np.ndarray, float]:
        used[0] += each[0] * (len(indices) + 1)
        return np.ones(len(indices)), 0.0

    monkeypatch.setattr(host, "joules", lambda: used[0])
    crew = Crew()
    crew.workers["arm"] = SimpleNamespace(ask=ask)  # type: ignore[assignment]
    session = of_crew(crew, 1.0)
    (workload,) = made_bench.bench({"arm": 1.0}).workloads
    for each[0] in (2.0, 30.0):
        session._one("latency", workload, crew.run, {"arm": 1.0})
    assert session.energy == {"arm": pytest.approx(2.0)}
