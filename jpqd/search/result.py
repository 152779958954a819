"""The plan that a search leaves, and what it says of it."""

from __future__ import annotations

from typing import Any

from jpqd.core.compression_plan import Figures, Plan, Units
from jpqd.core.progress import Progress
from jpqd.search import targets
from jpqd.search.evaluator import Evaluator
from jpqd.search.options import SearchOptions


def plan(
    stage: SearchOptions,
    chosen: Figures,
    units: Units,
    evaluator: Evaluator,
    rows: int,
    metric: str,
) -> Plan:
    whole, speedup = evaluator.whole, targets.dense_ms(evaluator.space) / chosen.p50_ms
    return Plan(
        model=stage.needs[0],
        chosen=chosen,
        units=units,
        whole=whole,
        precision=stage.precision,
        speedup=speedup,
        target=stage.target.given(),
        missed=targets.missed(stage.target, chosen, whole, speedup),
        strategy=stage.strategy,
        metric=metric,
        rows=rows,
        evaluations=len(evaluator.seen),
        rank_correlation=evaluator.rank_correlation(),
        finals_correlation=evaluator.finals_correlation(),
        front=evaluator.front(),
        tried=list(evaluator.seen.values()),
    )


def metrics(made: Plan) -> dict[str, Any]:
    """Return what the manifest says of a plan."""
    return made.model_dump(mode="json", exclude={"front", "tried", "units"})


def say(made: Plan, dense: str, progress: Progress) -> None:
    found, whole = made.chosen, made.whole
    against = "INT8" if dense == targets.WHOLE else dense
    progress.say(
        f"    {found.p50_ms:.2f} ms by the table, {made.speedup:.2f} times as fast as the whole "
        f"in {against}, {found.size_mb:.1f} MB; {made.metric} {found.score:.4f} after "
        f"{whole.score:.4f}, KL {found.kl:.4f}, before any training"
    )
    progress.say("    heads and neurons: " + " ".join(f"{h}/{n}" for h, n in found.layers))
    for target in made.missed:
        progress.warn(f"target {target}")
