"""Regression: a number for one or two texts, such as similarity or a rating."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Self

from jpqd.core import cells
from jpqd.core.errors import DataError
from jpqd.recipe.task import Task
from jpqd.tasks._texts import TextKind, distinct_labels, is_plain

if TYPE_CHECKING:
    import numpy as np
    from datasets import Dataset
    from tokenizers import Encoding
    from torch import Tensor

    from jpqd.scores.predictions import Predictions

_NEAR = {True: 1e-3, False: 0.05}
"""The share of their standard deviation within which answers are the same: first for models
without rounding, then for quantized ones.
"""


class Regression(TextKind):
    """A task whose answer is a number."""

    use = "regression"
    title = "text regression model"
    metrics: ClassVar[tuple[str, ...]] = ("pearson", "spearman")
    is_number = True

    @classmethod
    def fits(cls, task: Task, train: Dataset) -> bool:
        """Return whether the labels are numbers of which at least one is not whole."""
        if task.labels or not is_plain(train.features[task.label]):
            return False
        texts = [cells.as_text(value) for value in distinct_labels(task, train)]
        numbers = all(cells.as_float(text) is not None for text in texts)
        return numbers and not all(map(cells.is_whole, texts))

    @classmethod
    def find(cls, task: Task, train: Dataset) -> Self:
        labels = distinct_labels(task, train)
        if not labels:
            raise DataError(f"column {task.label!r}: every label of train is missing.")
        wrong = next((value for value in labels if cells.as_float(value) is None), None)
        if wrong is not None:
            raise DataError(
                f"column {task.label!r}: {wrong!r} is not a number, but the task is a regression. "
                "Correct the data, or leave task.use out."
            )
        return cls()

    def number(self, cell: Any) -> float | None:
        return cells.as_float(cell)

    def head_config(self) -> dict[str, Any]:
        return {"num_labels": 1, "problem_type": "regression"}

    def loss(self, answers: Tensor, targets: Tensor) -> Tensor:
        from torch.nn import functional

        return functional.mse_loss(answers[:, 0], targets.float())

    def distance(self, student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
        from torch.nn import functional

        return functional.mse_loss(student, teacher)

    def score(self, predictions: Predictions) -> dict[str, Any]:
        from jpqd.scores import metrics

        return {
            "n": predictions.count,
            **metrics.regression(predictions.logits[:, 0], predictions.labels),
        }

    def compare(
        self, predictions: list[Predictions], baseline: list[Predictions]
    ) -> dict[str, Any]:
        import numpy as np

        from jpqd.scores import paired

        mine, others = (
            np.stack([run.logits[:, 0] for run in runs]) for runs in (predictions, baseline)
        )
        return {
            "difference": paired.pearson_difference(mine, others, predictions[0].labels),
            "agreement": paired.pearson(mine, others),
        }

    def agrees(self, expected: np.ndarray, actual: np.ndarray, exact: bool) -> np.ndarray:
        near = _NEAR[exact] * max(float(expected.std()), 1e-3)
        same: np.ndarray = abs(expected - actual)[:, 0] <= near
        return same

    def answer(
        self, row: tuple[str, ...], encoding: Encoding, logits: np.ndarray
    ) -> dict[str, Any]:
        text = list(row) if len(row) > 1 else row[0]
        return {"text": text, "value": float(logits[0])}

    def line(self, answer: dict[str, Any]) -> str:
        return f"{answer['value']:.4f}"
