"""The stage that measures a model on a split."""

from __future__ import annotations

from typing import Any

from jpqd.data import splits
from jpqd.model import loading
from jpqd.recipe.contracts import Context
from jpqd.training import evaluation, references
from jpqd.training.options import EvaluateOptions


def evaluate(stage: EvaluateOptions, ctx: Context) -> dict[str, Any]:
    """Measure a model on one split, and keep its predictions beside the figures."""
    folder = ctx.inputs[stage.needs[0]]
    tokenizer = loading.load_tokenizer(folder, ctx.task, ctx.cache)
    data = splits.prepare(ctx.task, tokenizer, ctx.cache, ctx.progress)
    split = stage.split or ctx.task.report_on
    data = references.added(data, ctx, tokenizer, split)
    network = loading.load(folder, ctx.task)
    figures = evaluation.measure(network, tokenizer, data, split, ctx.out, stage.batch_size)
    return {**figures, "data": data.facts()}
