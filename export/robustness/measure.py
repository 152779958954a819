"""The whole stage: conditions, answers, figures."""

from __future__ import annotations

from typing import Any

from export.robustness import answers, conditions, figures
from export.robustness.figures import Sides
from export.robustness.options import Options
from jpqd.core import files
from jpqd.recipe.contracts import Context

FILE = "robustness.json"


def run(stage: Options, ctx: Context) -> dict[str, Any]:
    """Let every stage answer under every condition; return its figures beside the first one's."""
    given = conditions.of_stage(stage, ctx)
    ctx.work.mkdir(parents=True, exist_ok=True)
    found: dict[str, Any] = {}
    diagrams: dict[str, Any] = {}
    base = None
    for name in stage.needs:
        rows = sum(len(one.table) for one in given)
        ctx.progress.say(f"    {name}: {rows:,} rows, {len(given)} conditions")
        mine = answers.of_stage(name, given, ctx)
        base = base or mine
        found[name] = dict(figures.of_stage(Sides(mine, base), given, ctx.task))
        diagrams[name] = figures.diagrams(mine, given[0].kind)
    made = {"robustness": found, "diagrams": diagrams}
    files.write_json(ctx.out / FILE, made)
    return made
