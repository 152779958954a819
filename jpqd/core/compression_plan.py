"""The contents of `plan.json`: what stays in each layer, and what is known of the result.

Times are of a latency table. Accuracy and KL are of rows that neither training nor a report uses.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from jpqd.core import contents
from jpqd.core.contents import Part

FILE = "plan.json"

Structure = tuple[tuple[int, int], ...]
"""The number of heads and of neurons of each layer."""


class Figures(Part):
    """A structure and what is known of it."""

    layers: Structure
    p50_ms: float
    """The time by the latency table, ..."""
    size_mb: float
    """... and the size of the file."""
    loss: float
    """The harm by the table of values: a sum over the parts, without a run of the model."""
    kl: float | None = None
    """The divergence from the whole model, where the cut model was run, ..."""
    score: float | None = None
    """... and its main figure, such as accuracy."""
    final_kl: float | None = None
    """The same after the training of the finals, where the model was in them."""
    final_score: float | None = None


class Units(Part):
    """The units that stay, by their numbers in the model that was searched."""

    of: str
    """The hash of that model's weights."""
    left: list[tuple[int, ...]]
    """Heads of the first layer, its neurons, and so on."""


class Plan(Part):
    model: str
    """The stage whose model this is for."""
    chosen: Figures
    units: Units | None = None
    """Not in older plans."""
    whole: Figures
    """The model before the cut."""
    precision: str
    speedup: float
    """The time of the whole model in INT8 through the chosen one's."""
    target: dict[str, float]
    missed: list[str]
    """The targets that were not reached, each with what was."""
    strategy: str
    metric: str
    """The name of `score`."""
    rows: int
    """The rows that accuracy and KL are of."""
    evaluations: int
    """The structures whose model was cut and run."""
    rank_correlation: float | None
    """Spearman's, between `loss` and `kl` of these; none where they are fewer than three."""
    finals_correlation: float | None = None
    """The same between `kl` and `final_kl` of those in the finals."""
    front: list[Figures]
    """All that were run and that no other one beats in both time and KL, the fastest first."""
    tried: list[Figures] = []
    """All that were run, in this order."""


def hypervolume(points: Iterable[tuple[float, float]]) -> float:
    """Return the area that points of (speedup, exp(-KL)) dominate, above (1, 0)."""
    area, height = 0.0, 0.0
    for speedup, kept in sorted(points, reverse=True):
        if speedup > 1 and kept > height:
            area += (speedup - 1) * (kept - height)
            height = kept
    return area


def save(plan: Plan, folder: Path) -> None:
    contents.save(plan, folder / FILE)


def load(folder: Path) -> Plan:
    return contents.load(folder / FILE, Plan, "a plan")
