"""The steps of a training stage: how many there are, and what comes after which."""

from __future__ import annotations

import math
from dataclasses import dataclass

from jpqd.training.options import TrainOptions


@dataclass(frozen=True)
class Steps:
    per_epoch: int
    total: int
    warmup: int
    evaluations: frozenset[int]
    """The steps after which the checkpoint to keep is chosen."""
    log_every: int

    def epoch(self, step: int) -> float:
        """Count the epochs that are done after a step."""
        whole, part = divmod(step, self.per_epoch)
        return whole + part / self.per_epoch


def of(stage: TrainOptions, rows: int) -> Steps:
    """Count the steps of a stage that trains on so many rows."""
    per_epoch = math.ceil(rows / stage.batch_size)
    total = math.ceil(stage.epochs * per_epoch)
    return Steps(
        per_epoch=per_epoch,
        total=total,
        warmup=int(stage.warmup * per_epoch * stage.epochs),
        evaluations=_evaluations(per_epoch / stage.evals_per_epoch, total),
        log_every=max(1, min(50, per_epoch // 10)),
    )


def _evaluations(every: float, total: int) -> frozenset[int]:
    """Spread them evenly over an epoch; the last one comes after the last step."""
    count = math.ceil(total / every)
    return frozenset(min(round(every * (i + 1)), total) for i in range(count))
