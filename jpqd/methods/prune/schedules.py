"""Schedules: from the progress of a stage to the share of pruning that is done, both in [0, 1]."""

import math
from typing import Literal

Schedule = Literal["one_shot", "linear", "cubic", "iterative"]


def done(schedule: Schedule, progress: float, start: float, end: float, rounds: int) -> float:
    """Return the share: 0 before `start`, 1 from `end` on; one_shot needs no `end`."""
    if progress < start:
        return 0.0
    x = 1.0 if end <= start else min(1.0, (progress - start) / (end - start))
    if schedule == "one_shot":
        return 1.0
    if schedule == "linear":
        return x
    if schedule == "cubic":
        return 1 - (1 - x) ** 3
    return min(rounds, math.floor(x * (rounds - 1)) + 1) / rounds
