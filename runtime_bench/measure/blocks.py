"""Short blocks: every arm answers the same requests, twice in each block, in mirrored order.

With A B C C B A, a steady drift during a block affects every arm alike. The order is drawn anew
for each block. Nothing here knows what an arm is; tests bring arms and clocks of their own.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from runtime_bench.measure.statistics import FEWEST_BLOCKS

Run = Callable[[str, list[int]], np.ndarray]
"""A function from an arm and its requests to milliseconds: of each, or of all together."""


class Watch(Protocol):
    def begin(self) -> None: ...
    def disturbed(self) -> bool:
        """Return whether other programs used the processors since `begin`."""


@dataclass(frozen=True)
class Plan:
    """The number of blocks, and of requests that an arm answers in each."""

    blocks: int
    requests: int
    seconds: float
    """The expected time."""


@dataclass
class Measured:
    """The times of each arm, one array for each block; unfinished blocks are left out."""

    blocks: dict[str, list[np.ndarray]]
    started: list[float] = field(default_factory=list)
    disturbed: list[int] = field(default_factory=list)
    complete: bool = True


def plan(milliseconds: Sequence[float], seconds: float, blocks: int, least: int = 2) -> Plan:
    """Fit the requests into the time: an even number for each arm in a block, at least `least`.

    Where not even that fits there are fewer blocks, but enough for an interval. Each of an arm's
    two turns in a block begins with a request that is not counted.
    """
    each = sum(milliseconds) / 1e3
    requests = int(seconds / blocks / each) - 2
    if requests < least:
        requests = least
        blocks = min(blocks, max(FEWEST_BLOCKS, int(seconds / each / (least + 2))))
    requests -= requests % 2
    return Plan(blocks, requests, blocks * (requests + 2) * each)


def measure(
    arms: Sequence[str],
    requests: int,
    plan: Plan,
    run: Run,
    *,
    seed: int,
    watch: Watch,
    stop: Callable[[], object],
    clock: Callable[[], float] = time.monotonic,
) -> Measured:
    """Run the plan, or as much of it as the time allows; `requests` is the number of requests."""
    measured = Measured({arm: [] for arm in arms})
    begun = clock()
    for number, turns in enumerate(schedule(arms, requests, plan, seed)):
        started, parts = clock() - begun, {arm: list[np.ndarray]() for arm in arms}
        if started > 1.5 * plan.seconds and number >= max(FEWEST_BLOCKS, plan.blocks // 2):
            break  # the machine became slower than the estimate: fewer blocks, no broken promise
        watch.begin()
        for arm, indices in turns:
            if stop():
                measured.complete = False
                return measured
            parts[arm].append(run(arm, indices))
        if watch.disturbed():
            measured.disturbed.append(number)
        measured.started.append(started)
        for arm in arms:
            measured.blocks[arm].append(np.concatenate(parts[arm]))
    return measured


def schedule(
    arms: Sequence[str], requests: int, plan: Plan, seed: int
) -> Iterator[list[tuple[str, list[int]]]]:
    """Yield the turns of each block: an arm and the requests that it answers."""
    random = np.random.default_rng(seed)
    for block in range(plan.blocks):
        first = block * plan.requests
        indices = [(first + offset) % requests for offset in range(plan.requests)]
        halves = indices[: plan.requests // 2], indices[plan.requests // 2 :]
        order = [arms[place] for place in random.permutation(len(arms))]
        yield [(arm, halves[0]) for arm in order] + [(arm, halves[1]) for arm in reversed(order)]
