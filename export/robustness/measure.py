"""The whole stage: conditions, answers, attacks, figures."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from export import answering
from export.names import MODEL
from export.origin import Origin
from export.robustness import answers, attacks, conditions, figures
from export.robustness.attacks import Target
from export.robustness.conditions import Condition
from export.robustness.figures import Sides
from export.robustness.options import Options
from jpqd.analysis.attack import Attacked, Substitutes
from jpqd.core import files
from jpqd.core.errors import UserError
from jpqd.core.names import WEIGHTS
from jpqd.recipe.contracts import Context

FILE = "robustness.json"


def run(stage: Options, ctx: Context) -> dict[str, Any]:
    """Let every stage answer under every condition; return its figures beside the first one's."""
    _refuse_layouts(stage, ctx)
    given = conditions.of_stage(stage, ctx)
    words = _substitutes(stage, ctx, given)
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
    for name, condition, each in _attacks(stage, ctx, given, words) if words else ():
        found[name][condition] = each
    made = {"robustness": found, "diagrams": diagrams}
    files.write_json(ctx.out / FILE, made)
    return made


def _refuse_layouts(stage: Options, ctx: Context) -> None:
    """Refuse IRs that lie in a model server's repository, before anything is measured."""
    for name in stage.needs:
        if not any((ctx.inputs[name] / file).is_file() for file in (WEIGHTS, MODEL)):
            raise UserError(f"{ctx.stage}: {name} is no model folder. Export it as layout: folder.")


def _substitutes(stage: Options, ctx: Context, given: Sequence[Condition]) -> Substitutes | None:
    """Return the words of an attack; refuse one that cannot be before anything is measured."""
    if not stage.attack:
        return None
    if not figures.has_classes(given[0].kind):
        raise UserError(f"{ctx.stage}: attack is for tasks whose answer is one class.")
    return attacks.known(stage.needs[0], ctx)


def _attacks(
    stage: Options, ctx: Context, given: Sequence[Condition], words: Substitutes
) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield how each stage stands an attack on itself, and the texts of that on the first one."""
    target = attacks.target(given[0], ctx, stage.attack or 0)
    first = stage.needs[0]
    theirs = _attacked(first, target, words, ctx)
    stood = np.array([not one.fooled for one in theirs])
    for name in stage.needs:
        mine = _attacked(name, target, words, ctx)
        survived = np.array([not one.fooled for one in mine])
        alone = name == first
        yield name, "attack", attacks.figures(target, survived, None if alone else stood, mine)
        if not alone:
            model = answering.load(Origin(ctx.inputs[name], ctx.task, ctx.cache))
            right = attacks.carried(model, target, theirs)
            yield name, f"attack on {first}", attacks.figures(target, right, stood, theirs)


def _attacked(name: str, target: Target, words: Substitutes, ctx: Context) -> list[Attacked]:
    """Attack a stage, or take what was found before a kill."""
    place = ctx.work / f"{name}-attack.json"
    if not place.is_file():
        ctx.progress.say(f"    attacks {name}: {len(target.rows):,} rows")
        model = answering.load(Origin(ctx.inputs[name], ctx.task, ctx.cache))
        made = attacks.on_stage(model, target, words)
        files.write_json(place, {"texts": [vars(one) for one in made]})
    found = json.loads(place.read_text(encoding="utf-8"))
    return [Attacked(**one) for one in found["texts"]]
