"""The whole stage: conditions, answers, attacks, figures."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from export import answering
from export.answering import Model
from export.names import MODEL
from export.origin import Origin
from export.robustness import answers, attacks, conditions, figures
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
    attack = _Attack(stage, ctx, given, words) if words else None
    found: dict[str, Any] = {}
    diagrams: dict[str, Any] = {}
    base = None
    for name in stage.needs:
        rows = sum(len(one.table) for one in given)
        ctx.progress.say(f"    {name}: {rows:,} rows, {len(given)} conditions")
        load = functools.cache(partial(_load, name, ctx))
        mine = answers.of_stage(name, given, ctx, load)
        base = base or mine
        found[name] = dict(figures.of_stage(Sides(mine, base), given, ctx.task))
        found[name] |= attack.figures(name, load) if attack else {}
        diagrams[name] = figures.diagrams(mine, given[0].kind)
    made = {"robustness": found, "diagrams": diagrams}
    files.write_json(ctx.out / FILE, made)
    return made


def _load(name: str, ctx: Context) -> Model:
    return answering.load(Origin(ctx.inputs[name], ctx.task, ctx.cache))


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


class _Attack:
    """Attacks on each stage, and those on the first one carried over."""

    def __init__(
        self, stage: Options, ctx: Context, given: Sequence[Condition], words: Substitutes
    ) -> None:
        self.target = attacks.target(given[0], ctx, stage.attack or 0)
        self.first, self.ctx, self.words = stage.needs[0], ctx, words
        self.theirs: list[Attacked] = []

    def figures(self, name: str, load: Callable[[], Model]) -> dict[str, dict[str, Any]]:
        """Return how a stage stands an attack on itself, and the texts of that on the first one."""
        mine = self._attacked(name, load)
        survived = np.array([not one.fooled for one in mine])
        if name == self.first:
            self.theirs = mine
            return {"attack": attacks.figures(self.target, survived, None, mine)}
        stood = np.array([not one.fooled for one in self.theirs])
        right = attacks.carried(load(), self.target, self.theirs)
        return {
            "attack": attacks.figures(self.target, survived, stood, mine),
            f"attack on {self.first}": attacks.figures(self.target, right, stood, self.theirs),
        }

    def _attacked(self, name: str, load: Callable[[], Model]) -> list[Attacked]:
        """Attack a stage, or take what was found before a kill."""
        place = self.ctx.work / f"{name}-attack.json"
        if not place.is_file():
            self.ctx.progress.say(f"    attacks {name}: {len(self.target.rows):,} rows")
            made = attacks.on_stage(load(), self.target, self.words)
            files.write_json(place, {"texts": [vars(one) for one in made]})
        found = json.loads(place.read_text(encoding="utf-8"))
        return [Attacked(**one) for one in found["texts"]]
