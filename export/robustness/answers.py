"""The answers of every stage under every condition, kept so that a kill costs one of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from export import answering, check
from export.answering import Model
from export.robustness.conditions import Condition
from jpqd.recipe.contracts import Context
from jpqd.scores import predictions
from jpqd.scores.predictions import Predictions


def of_stage(
    name: str, conditions: Sequence[Condition], ctx: Context, load: Callable[[], Model]
) -> dict[str, Predictions]:
    """Return a stage's answers by condition."""
    found = {}
    for number, condition in enumerate(conditions):
        place = ctx.work / f"{name}-{number}.safetensors"
        if not place.is_file():
            predictions.keep(place, _answered(load(), condition, ctx), condition.kind.facts())
        found[condition.name], _ = predictions.load(place)
    return found


def _answered(model: Model, condition: Condition, ctx: Context) -> Predictions:
    task, kind = model.fitted(ctx.task), condition.kind
    rows = answering.rows(task, condition.table, kind, model.tokenizer, condition.place)
    return check.answers(model.ask(rows), rows, model.shape)
