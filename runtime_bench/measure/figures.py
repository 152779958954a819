"""The figures of one measurement, from its blocks of times."""

from collections.abc import Mapping

import numpy as np

from jpqd.core.bench_result import Estimate, Figures, Mode
from runtime_bench.measure import statistics
from runtime_bench.measure.blocks import Measured


def of(
    mode: Mode,
    measured: Measured,
    baseline: str,
    batch: int,
    overheads: Mapping[str, float],
    offered: Mapping[str, float],
) -> dict[str, Figures]:
    """Return each arm's figures; `overheads` are microseconds, `offered` requests per second."""
    return {
        arm: Figures(
            latency_ms=None if mode == "throughput" else statistics.latency(blocks),
            rows_per_second=_rows(mode, blocks, batch, offered.get(arm)),
            overhead_us=overheads.get(arm),
            offered_per_second=offered.get(arm),
            speedup=_speedup(mode, measured, arm, baseline),
            speedup_over={
                other: ratio
                for other in measured.blocks
                if other != arm and (ratio := _speedup(mode, measured, arm, other))
            },
        )
        for arm, blocks in measured.blocks.items()
    }


def _rows(mode: Mode, blocks: list[np.ndarray], batch: int, offered: float | None) -> Estimate:
    """Return rows per second; in the open loop they are those that were offered."""
    if mode == "open_loop":
        return Estimate(value=None if offered is None else offered * batch)
    return statistics.middle(np.array([batch * 1e3 / block.mean() for block in blocks]))


def _speedup(mode: Mode, measured: Measured, arm: str, other: str) -> Estimate | None:
    """Return the ratio of two arms; None in the open loop, where each had its own load."""
    if mode == "open_loop" or arm == other:
        return None
    return statistics.paired_ratio(measured.blocks[other], measured.blocks[arm])
