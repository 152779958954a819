"""Measures a trained stage on any split of the task."""

from typing import Annotated, Any, Literal

from pydantic import Field

from jpqd.schema import Count, Name, StageId
from jpqd.stage import Context, Stage


class Evaluate(Stage):
    """Metrics of an earlier stage on one split, and its logits row by row."""

    use: Literal["evaluate"]
    needs: Annotated[tuple[StageId, ...], Field(min_length=1, max_length=1)]
    split: Name | None = None
    """`task.report_on` when not given."""
    batch_size: Count = 64

    def run(self, ctx: Context) -> dict[str, Any]:
        from jpqd.evaluation import evaluate

        return evaluate(self, ctx)
