"""The stage that measures a trained stage on any split of the task."""

from typing import Any

from jpqd.recipe.contracts import Context
from jpqd.training.options import EvaluateOptions


class Evaluate(EvaluateOptions):
    """Metrics of an earlier stage on one split, and its logits row by row."""

    def run(self, ctx: Context) -> dict[str, Any]:
        from jpqd.training.measuring import evaluate

        return evaluate(self, ctx)
