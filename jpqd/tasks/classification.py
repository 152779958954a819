"""Classification: one of several classes for one or two texts, such as sentiment or topic."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Self

from jpqd.core import cells
from jpqd.core.errors import DataError
from jpqd.recipe.task import Task
from jpqd.tasks import _declared
from jpqd.tasks._texts import TextKind, distinct_labels

if TYPE_CHECKING:
    import numpy as np
    from datasets import Dataset
    from tokenizers import Encoding

    from jpqd.scores.predictions import Predictions

MAX_CLASSES = 1000


class Classification(TextKind):
    """A task whose answer is a class."""

    use = "classification"
    title = "text classifier"
    metrics: ClassVar[tuple[str, ...]] = ("accuracy", "f1", "matthews")
    shares: ClassVar[tuple[str, ...]] = ("accuracy", "f1", "macro_f1")

    @classmethod
    def fits(cls, task: Task, train: Dataset) -> bool:
        """Accept any data: the other kinds are tried first."""
        return True

    @classmethod
    def find(cls, task: Task, train: Dataset) -> Self:
        """Take the classes from the recipe or the data's header; otherwise read train's labels."""
        from datasets import ClassLabel

        feature = train.features[task.label]
        if isinstance(feature, ClassLabel):
            return cls(*_declared.classes(task, tuple(feature.names), "classes"))
        labels = distinct_labels(task, train)
        if not labels:
            raise DataError(f"column {task.label!r}: every label of train is missing.")
        return cls._from_labels(task, labels)

    @classmethod
    def _from_labels(cls, task: Task, labels: list[Any]) -> Self:
        texts = {cells.as_text(value) for value in labels}
        numbers = all(cells.is_whole(text) for text in texts)
        values = tuple(sorted(texts, key=(lambda text: (int(text), text)) if numbers else None))
        if len(values) > MAX_CLASSES:
            raise DataError(
                f"column {task.label!r}: {len(values)} different labels, for example {values[:3]}. "
                "Is this the label column? Set use: regression where the labels are measures."
            )
        if task.labels:
            return cls._with_given_labels(task, values)
        if len(values) == 1:
            raise DataError(
                f"column {task.label!r}: every row has the label {values[0]!r}. "
                "Name all classes in task.labels where train lacks some."
            )
        return cls(values, values)

    @classmethod
    def _with_given_labels(cls, task: Task, values: tuple[str, ...]) -> Self:
        """Match `task.labels` with the data: they stand there, or name the numbers 0, 1, ..."""
        numbers = tuple(str(number) for number in range(len(task.labels)))
        for meant in (tuple(map(cells.as_text, task.labels)), numbers):
            if set(values) <= set(meant):
                return cls(task.labels, meant)
        raise DataError(
            f"column {task.label!r} holds {cells.some(values)}, which does not fit task.labels "
            f"{cells.some(task.labels)}. Write the labels as they stand in the data, or a name for "
            "each of the numbers 0, 1, ..."
        )

    def number(self, cell: Any) -> int | None:
        text = cells.as_text(cell)
        return self.values.index(text) if text in self.values else None

    def head_config(self) -> dict[str, Any]:
        names = dict(enumerate(self.names))
        numbers = {name: number for number, name in names.items()}
        problem = "single_label_classification"
        return {"id2label": names, "label2id": numbers, "problem_type": problem}

    def score(self, predictions: Predictions) -> dict[str, Any]:
        from jpqd.scores import metrics

        guess = predictions.logits.argmax(axis=1)
        classes = predictions.logits.shape[1]
        return {
            "n": predictions.count,
            **metrics.classification(classes, guess, predictions.labels),
        }

    def figures(self, predictions: Predictions) -> dict[str, float]:
        from jpqd.scores import classes, confusion

        count = predictions.logits.shape[1]
        matrix = classes.confusion(count, predictions.logits.argmax(1), predictions.labels)
        return {name: of(matrix) for name, of in confusion.measures(count).items()}

    def classes(self, predictions: list[Predictions]) -> dict[str, Any]:
        import numpy as np

        from jpqd.scores import classes

        logits = np.concatenate([run.logits for run in predictions])
        truth = np.concatenate([run.labels for run in predictions]).astype(int)
        count, guess = logits.shape[1], logits.argmax(1)
        names = self.names or tuple(map(str, range(count)))
        table = classes.confusion(count, guess, truth)
        return {"each": classes.per_class(names, guess, truth), "confusion": table.tolist()}

    def compare(
        self, predictions: list[Predictions], baseline: list[Predictions]
    ) -> dict[str, Any]:
        import numpy as np

        from jpqd.scores import confusion, paired

        logits, others = (
            np.stack([run.logits for run in runs]) for runs in (predictions, baseline)
        )
        mine, theirs, truth = logits.argmax(2), others.argmax(2), predictions[0].labels
        return {
            "difference": paired.accuracy_difference(mine == truth, theirs == truth),
            "mcnemar_p": paired.mcnemar(mine == truth, theirs == truth),
            "agreement": paired.agreement(mine, theirs),
            "agreement_95": paired.agreement_interval(mine, theirs, len(truth)),
            "divergence": paired.divergence(logits, others),
            "differences": confusion.differences(logits.shape[2], mine, theirs, truth),
        }

    def answer(
        self, row: tuple[str, ...], encoding: Encoding, logits: np.ndarray
    ) -> dict[str, Any]:
        from scipy.special import softmax

        shares = softmax(logits)
        best = int(shares.argmax())
        words = list(row) if len(row) > 1 else row[0]
        each = {name: float(share) for name, share in zip(self.names, shares, strict=True)}
        label = self.names[best]
        return {"text": words, "label": label, "probability": each[label], "probabilities": each}

    def line(self, answer: dict[str, Any]) -> str:
        return f"{answer['label']}\t{answer['probability']:.4f}"
