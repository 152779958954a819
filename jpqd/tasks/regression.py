"""A number for a text, or for two: similarity, rating."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from jpqd.core import cells
from jpqd.core.errors import DataError
from jpqd.recipe.task import Task
from jpqd.tasks._texts import TextKind, found_in, is_plain

if TYPE_CHECKING:
    import numpy as np
    from datasets import Dataset
    from tokenizers import Encoding
    from torch import Tensor

    from jpqd.scores.predictions import Predictions

_NEAR = {True: 1e-3, False: 0.05}
"""Answers are the same within this share of their standard deviation: where nothing is rounded,
and where values are."""


class Regression(TextKind):
    """Learns a number."""

    use = "regression"
    title = "text regression model"
    metrics = ("pearson", "spearman")
    is_number = True

    @classmethod
    def fits(cls, task: Task, train: Dataset) -> bool:
        """Numbers of which at least one is not whole."""
        if task.labels or not is_plain(train.features[task.label]):
            return False
        texts = [cells.as_text(value) for value in found_in(task, train)]
        numbers = all(cells.as_float(text) is not None for text in texts)
        return numbers and not all(map(cells.is_whole, texts))

    @classmethod
    def find(cls, task: Task, train: Dataset) -> Self:
        found = found_in(task, train)
        if not found:
            raise DataError(f"column {task.label!r}: every label of train is missing.")
        wrong = next((value for value in found if cells.as_float(value) is None), None)
        if wrong is not None:
            raise DataError(
                f"column {task.label!r}: {wrong!r} is not a number, and the task is a regression. "
                "Mend the data, or leave task.use out."
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

    def score(self, found: Predictions) -> dict[str, Any]:
        from jpqd.scores import metrics

        return {"n": found.count, **metrics.regression(found.logits[:, 0], found.labels)}

    def compare(self, found: list[Predictions], baseline: list[Predictions]) -> dict[str, Any]:
        import numpy as np

        from jpqd.scores import paired

        mine, others = (np.stack([run.logits[:, 0] for run in runs]) for runs in (found, baseline))
        return {
            "difference": paired.pearson_difference(mine, others, found[0].labels),
            "agreement": paired.pearson(mine, others),
        }

    def agrees(self, expected: np.ndarray, found: np.ndarray, exact: bool) -> np.ndarray:
        near = _NEAR[exact] * max(float(expected.std()), 1e-3)
        same: np.ndarray = abs(expected - found)[:, 0] <= near
        return same

    def answer(
        self, row: tuple[str, ...], encoding: Encoding, logits: np.ndarray
    ) -> dict[str, Any]:
        text = list(row) if len(row) > 1 else row[0]
        return {"text": text, "value": float(logits[0])}

    def line(self, answer: dict[str, Any]) -> str:
        return f"{answer['value']:.4f}"
