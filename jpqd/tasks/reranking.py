"""Reranking: how well a text answers a query, as one number for the two of them."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self

from pydantic import Field, model_validator

from jpqd.core import cells
from jpqd.core.errors import DataError
from jpqd.recipe.schema import Text, mistake
from jpqd.recipe.task import Task
from jpqd.tasks import Columns
from jpqd.tasks._texts import distinct_labels, tokens_of, without_label
from jpqd.tasks.regression import Regression

if TYPE_CHECKING:
    import numpy as np
    from datasets import Dataset
    from torch import Tensor
    from transformers import PreTrainedTokenizerBase

    from jpqd.scores.predictions import Predictions

_RESAMPLES = 2_000


class RerankingTask(Task):
    """A query and a text in each row; the rows of a query have the same query."""

    text: Annotated[tuple[Text, ...], Field(min_length=2, max_length=2)] = ("query", "text")
    label: Text = "label"
    """The column that says what a text is worth, from 0 to 1, if there is one."""

    @model_validator(mode="before")
    @classmethod
    def _may_have_no_label(cls, given: Any) -> Any:
        """Take the query for the label where no column says what a text is worth."""
        return without_label(given, "query")

    @model_validator(mode="after")
    def _known_metric(self) -> Self:
        if self.label in self.text and self.metric not in (None, "spearman"):
            raise mistake(f"metric: {self.metric} needs labels", "Give label, or leave it out.")
        return self


class Reranking(Regression):
    """A task whose answers order the texts of a query.

    Labels are what a text is worth, no number where nobody says; the query's number; and behind
    them, where it is known, the answer of the recipe's own model.
    """

    use = "reranking"
    keys: ClassVar[type[Task]] = RerankingTask
    title = "reranker"
    metrics = ("ndcg_10", "mrr_10", "spearman")
    by_head = False
    follows = True
    pairs = True

    @classmethod
    def fits(cls, task: Task, train: Dataset) -> bool:
        return False  # any two texts would do, so the recipe says it

    @classmethod
    def find(cls, task: Task, train: Dataset) -> Self:
        labels = [] if task.label in task.text else distinct_labels(task, train)
        for cell in labels:
            worth = cells.as_float(cell)
            if worth is None or not 0 <= worth <= 1:
                raise DataError(
                    f"column {task.label!r}: {cell!r} is not from 0 to 1, as what a text is worth "
                    "has to be. Correct the data, or leave task.label out."
                )
        return cls()

    @classmethod
    def unlabelled(cls, task: Task) -> bool:
        return task.label in task.text

    def label(self, task: Task, row: Mapping[str, Any]) -> Any:
        if any(cells.is_missing(row[column]) for column in task.text):
            return None
        return float("nan") if self.unlabelled(task) else cells.as_float(row[task.label])

    def encode(self, task: Task, rows: Columns, tokenizer: PreTrainedTokenizerBase) -> Columns:
        queries, texts = ([str(cell) for cell in rows[column]] for column in task.text)
        worth = [float("nan")] * len(queries)
        if not self.unlabelled(task):
            worth = [float(cells.as_float(cell) or 0) for cell in rows[task.label]]
        numbers = [float(zlib.crc32(query.encode())) for query in queries]
        labels = [list(both) for both in zip(worth, numbers, strict=True)]
        return tokens_of([queries, texts], labels, task.max_length, tokenizer)

    def together(self, task: Task) -> str | None:
        return task.text[0]

    def pad(self, labels: Sequence[Any], length: int) -> np.ndarray:
        import numpy as np

        return np.array(labels, float)

    def own(self, labels: np.ndarray) -> np.ndarray:
        return labels[:, :2]

    def no_label(self, tokens: int) -> list[float]:
        return [float("nan"), 0.0]

    # Learning.

    def loss(self, answers: Tensor, targets: Tensor) -> Tensor:
        """Return the cross-entropy of what texts are worth; without that, what prunes asks of it.

        That is a sum with random signs, whose squared gradient says how much an answer moves.
        """
        import torch
        from torch.nn import functional

        worth = targets[:, 0].to(answers.dtype)
        known = ~worth.isnan()
        if known.any():
            return functional.binary_cross_entropy_with_logits(answers[known, 0], worth[known])
        signs = torch.randint(0, 2, answers.shape, device=answers.device) * 2 - 1
        return (answers * signs).mean()

    def distance(self, student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
        """Return how far answers are apart, and how far what lies between any two of them is."""
        gap = (student - teacher)[:, 0]
        return gap.square().mean() + (gap[:, None] - gap[None]).square().mean()

    # Figures.

    def chooser(self, task: Task) -> str:
        return task.metric or ("spearman" if self.unlabelled(task) else "ndcg_10")

    def score(self, predictions: Predictions) -> dict[str, Any]:
        from jpqd.scores import metrics, ranking

        answers, labels = predictions.logits[:, 0], predictions.labels
        found: dict[str, Any] = {"n": predictions.count}
        if (known := ~_missing(labels[:, 0])).any():
            each = ranking.of_each(answers[known], labels[known, 0], labels[known, 1])
            found = {"n": len(each), "ndcg_10": _mean(each[:, 0]), "mrr_10": _mean(each[:, 1])}
        if labels.shape[1] > 2:
            found["spearman"] = metrics.regression(answers, labels[:, 2])["spearman"]
        return found

    def main(self, predictions: Predictions) -> str:
        return next((name for name in self.metrics if name in self.score(predictions)), "")

    def n(self, predictions: Predictions) -> int:
        return int(self.score(predictions)["n"])

    def compare(
        self, predictions: list[Predictions], baseline: list[Predictions]
    ) -> dict[str, Any]:
        import numpy as np

        from jpqd.scores import paired, ranking

        mine, others = (
            np.stack([run.logits[:, 0] for run in runs]) for runs in (predictions, baseline)
        )
        labels, agreement = predictions[0].labels, paired.pearson(mine, others)
        if _missing(labels[:, 0]).all():
            found = paired.spearman_difference(mine, others, labels[:, 2], _RESAMPLES)
            return {"difference": found, "agreement": agreement}
        sides = [
            np.stack([ranking.of_each(one, labels[:, 0], labels[:, 1])[:, 0] for one in side])
            for side in (mine, others)
        ]
        gain = (sides[0] - sides[1]).mean(0)
        if not len(gain):
            return {"difference": (0.0, 0.0, 0.0), "agreement": agreement}
        found = paired.mean_interval(gain, _RESAMPLES)
        least = 0.0 if gain.any() else paired.unseen(len(gain))
        return {"difference": paired.widened(*found, least), "agreement": agreement}


def _missing(column: np.ndarray) -> np.ndarray:
    import numpy as np

    found: np.ndarray = np.isnan(column)
    return found


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else 0.0
