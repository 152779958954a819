"""Targets as limits of time and size; what cannot be reached is refused."""

from __future__ import annotations

from math import inf

from jpqd.core.compression_plan import Figures
from jpqd.core.errors import UserError
from jpqd.core.latency_table import LatencyTable
from jpqd.search.options import Target
from jpqd.search.space import Limits, Space

WHOLE = "int8"
"""The precision of the whole model that a speedup is against."""


def dense_ms(space: Space) -> float:
    """Return the time of the model before any cut: what a speedup is against."""
    table = space.table
    return table.p50_ms([(table.heads, table.neurons)] * table.layers, dense_precision(space))


def dense_precision(space: Space) -> str:
    """Name the precision of that model: INT8, or the search's own where the table has no INT8."""
    return WHOLE if _is_known(space.table) else space.precision


def _is_known(table: LatencyTable) -> bool:
    """Return whether the whole model was measured in INT8; a table near a plan has it alone."""
    return WHOLE in (*(one.name for one in table.precisions), *table.whole_ms)


def limits(space: Space, target: Target, margin: float | None = None) -> Limits:
    """Return the limits to search within.

    Times have a margin to spare, or, where none is given, the table's own error if possible.
    """
    asked = min(dense_ms(space) / target.speedup if target.speedup else inf, target.p50_ms or inf)
    ms = asked / (margin or space.table.margin(space.precision))
    return Limits(ms if ms >= space.p50_ms(space.least) else asked, target.size_mb or inf)


def drop(found: Figures, whole: Figures) -> float:
    """Return the points of the main figure that were lost."""
    assert found.score is not None
    assert whole.score is not None
    return 100 * (whole.score - found.score)


def refuse_unreachable(
    space: Space, target: Target, where: str, margin: float | None = None
) -> None:
    """Refuse what even a model without a head and a neuron does not reach."""
    if target.speedup and not _is_known(space.table):
        raise UserError(
            f"{where}: target speedup is against the whole model in INT8, which the latency table "
            "has not measured. Add int8 to its precisions, or give p50_ms."
        )
    ms, mb = space.p50_ms(space.least) * (margin or 1), space.size_mb(space.least)
    spared = f" and a margin of {margin:g}" if margin else ""
    nearest = {"speedup": dense_ms(space) / ms, "p50_ms": ms, "size_mb": mb}
    for name, asked in target.given().items():
        reached = nearest.get(name, asked)
        if asked > reached if name == "speedup" else asked < reached:
            raise UserError(
                f"{where}: target {name}: {asked:g} cannot be reached. By the latency table the "
                f"nearest is {reached:.3g}, with no head and no neuron left, in {space.precision}"
                f"{spared}."
            )


def missed(target: Target, found: Figures, whole: Figures, speedup: float) -> list[str]:
    """Name the targets that were not reached, and what was."""
    lost = drop(found, whole)
    reached = {
        "speedup": (speedup, speedup >= (target.speedup or 0) * (1 - 1e-9)),
        "p50_ms": (found.p50_ms, found.p50_ms <= (target.p50_ms or inf)),
        "size_mb": (found.size_mb, found.size_mb <= (target.size_mb or inf)),
        "accuracy_drop": (lost, lost <= (target.accuracy_drop or 0)),
    }
    return [
        f"{name}: {asked:g} was asked, {reached[name][0]:.4g} is reached"
        for name, asked in target.given().items()
        if not reached[name][1]
    ]
