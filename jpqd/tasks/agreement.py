"""Agreement: classification whose labels are the answers of the model before compression."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jpqd.recipe.task import Task
from jpqd.tasks.classification import Classification

if TYPE_CHECKING:
    from datasets import Dataset

    from jpqd.scores.predictions import Predictions


class Agreement(Classification):
    """A task whose right answer is what a model said, so that nothing is called accuracy."""

    use = "agreement"
    metrics = ("agreement",)
    shares = ("agreement",)
    by_head = False

    @classmethod
    def fits(cls, task: Task, train: Dataset) -> bool:
        """Accept no data unasked: labels do not tell who gave them."""
        return False

    def score(self, predictions: Predictions) -> dict[str, Any]:
        found = super().score(predictions)
        return {
            "n": found["n"],
            "agreement": found["accuracy"],
            "agreement_95": found["accuracy_95"],
        }

    def figures(self, predictions: Predictions) -> dict[str, float]:
        return {}
