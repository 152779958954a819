"""Embedding: a vector for each text, near those of texts that mean the same.

Nobody labels a vector: a model learns from another one's, and is measured against them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator
from pydantic_core.core_schema import ValidationInfo

from jpqd.core import cells
from jpqd.recipe.schema import Count, Text, mistake
from jpqd.recipe.task import Task
from jpqd.tasks import Columns, Kind
from jpqd.tasks._texts import is_plain, tokens_of, without_label

if TYPE_CHECKING:
    import numpy as np
    from datasets import Dataset
    from tokenizers import Encoding
    from torch import Tensor
    from transformers import PreTrainedTokenizerBase

    from jpqd.scores.predictions import Predictions

Mode = Literal["cls", "mean", "last"]
_NEAR, _ROUNDED, _ONE_OF_MANY = 0.9999, 0.999, 0.99
"""The cosine from which vectors are the same: without rounding, with it, and for a single text
where with it all are so near on average.
"""
_RARE = 0.005
"""The share of a nudged model's vectors that move further: as many as may differ in an IR."""
_SHOWN = 4


class EmbeddingTask(Task):
    """Texts; two columns of them are pairs, whose scores are reported and never learnt."""

    label: Text = "label"
    """The column with the similarity of each pair, if there is one."""
    pooling: Mode | None = None
    """The way from tokens to a vector, for a model whose folder does not say."""
    normalize: bool | None = None
    """The same of the length 1 of vectors: true if not given."""
    dimensions: tuple[Annotated[Count, Field(ge=8)], ...] = ()
    """Shorter vectors that shall serve too: the first so many numbers of each."""

    @model_validator(mode="before")
    @classmethod
    def _may_have_no_label(cls, given: Any) -> Any:
        """Take a text for the label where no column has scores."""
        return without_label(given, "text")

    @field_validator("label")
    @classmethod
    def _of_pairs(cls, label: str, others: ValidationInfo) -> str:
        text = others.data.get("text", ())
        if label not in text and len(text) != 2:
            raise mistake("scores a pair", "Give text two columns, or leave label out.")
        return label

    @model_validator(mode="after")
    def _known_metric(self) -> Self:
        if self.metric == "spearman" and not self.scored:
            raise mistake("metric: spearman needs scores of pairs", "Give label, or leave it out.")
        return self

    @property
    def scored(self) -> bool:
        """Return whether pairs have scores."""
        return self.label not in self.text


class Embedding(Kind):
    """A task whose answer is a vector. `values` holds the shorter lengths that shall serve too.

    A row of the data becomes a row for each of its texts. Their labels are the score of the pair,
    which is no number where there is none, and behind it, where it is known, the vector that
    another model gives.
    """

    use = "embedding"
    keys: ClassVar[type[Task]] = EmbeddingTask
    title = "embedding model"
    metrics = ("spearman", "cosine", "recall_10", "ndcg_10")
    head = "Model"
    exporter = "feature-extraction"
    output = "last_hidden_state"
    vectors = True
    follows = True
    pairs = True

    @classmethod
    def fits(cls, task: Task, train: Dataset) -> bool:
        return False  # any text would do, so the recipe says it

    @classmethod
    def find(cls, task: Task, train: Dataset) -> Self:
        assert isinstance(task, EmbeddingTask)
        return cls((), tuple(map(str, task.dimensions)))

    @classmethod
    def named(cls, names: tuple[str, ...]) -> Self:
        return cls()

    def auto_class(self) -> Any:
        import transformers

        return transformers.AutoModel

    # Data.

    @classmethod
    def reads(cls, task: Task, column: str, feature: Any) -> bool:
        return is_plain(feature)

    def label(self, task: Task, row: Mapping[str, Any]) -> float | None:
        if any(cells.is_missing(row[column]) for column in task.text):
            return None
        return _score(task, row[task.label])

    def texts(self, task: Task, row: Mapping[str, Any]) -> list[str]:
        return [str(row[column]) for column in task.text]

    def encode(self, task: Task, rows: Columns, tokenizer: PreTrainedTokenizerBase) -> Columns:
        """Encode each text by itself, with the words that stand before every text."""
        prompt = getattr(tokenizer, "prompt", "")
        columns = [[prompt + str(cell) for cell in rows[column]] for column in task.text]
        texts = [text for row in zip(*columns, strict=True) for text in row]
        given = rows.get(task.label, [None] * len(columns[0]))  # train may lack scores
        each = (float("nan") if (s := _score(task, cell)) is None else s for cell in given)
        scores = [score for score in each for _ in task.text]
        return tokens_of([texts], scores, task.max_length, tokenizer)

    def numbers(self, task: Task, rows: Sequence[int]) -> list[int]:
        count = len(task.text)
        return [row * count + which for row in rows for which in range(count)]

    def head_config(self) -> dict[str, Any]:
        return {}

    def pad(self, labels: Sequence[Any], length: int) -> np.ndarray:
        import numpy as np

        return np.array(labels, np.float32)

    def own(self, labels: np.ndarray) -> np.ndarray:
        return labels[:, 0] if labels.ndim == 2 else labels

    def no_label(self, tokens: int) -> float:
        return float("nan")

    # Learning.

    def loss(self, answers: Tensor, targets: Tensor) -> Tensor:
        """Return sums of each vector's numbers with random signs.

        The squares of their gradients say how much a vector moves, whatever the direction: what
        pruning asks of a loss. As a loss to train with it means nothing.
        """
        import torch

        signs = torch.randint(0, 2, answers.shape, device=answers.device) * 2 - 1
        return (answers * signs).sum(1).mean()

    def distance(self, student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
        """Return how far vectors are apart, and how far what each is like in the batch."""
        import torch

        parts = [_apart(student[:, :size], teacher[:, :size]) for size in self._sizes(student)]
        return torch.stack(parts).mean()

    def _sizes(self, vectors: Any) -> list[int]:
        """Return the lengths that shall serve, the whole one first."""
        whole = vectors.shape[1]
        return [whole, *(size for size in map(int, self.values) if size < whole)]

    # Figures.

    def chooser(self, task: Task) -> str:
        return task.metric or "cosine"

    def score(self, predictions: Predictions) -> dict[str, Any]:
        from jpqd.scores import vectors

        return vectors.figures(predictions.logits, predictions.labels, self._sizes)

    def main(self, predictions: Predictions) -> str:
        from jpqd.scores import vectors

        scored = len(vectors.pairs_of(self.own(predictions.labels)))
        return "spearman" if scored else "cosine"

    def n(self, predictions: Predictions) -> int:
        from jpqd.scores import vectors

        return len(vectors.pairs_of(self.own(predictions.labels))) or predictions.count

    def value(self, predictions: Predictions) -> float:
        from jpqd.scores import vectors

        scores = self.own(predictions.labels)
        labels = scores if len(vectors.pairs_of(scores)) else predictions.labels
        return self.told(vectors.figures(predictions.logits, labels, _whole), predictions)

    def compare(
        self, predictions: list[Predictions], baseline: list[Predictions]
    ) -> dict[str, Any]:
        from jpqd.scores import vectors

        return vectors.compare(
            [run.logits for run in predictions],
            [run.logits for run in baseline],
            predictions[0].labels,
        )

    def agrees(self, expected: np.ndarray, actual: np.ndarray, exact: bool) -> np.ndarray:
        from jpqd.scores import vectors

        cosines = vectors.cosines(expected, actual)
        rounded = _ONE_OF_MANY if cosines.mean() >= _ROUNDED else _ROUNDED
        same: np.ndarray = cosines >= (_NEAR if exact else rounded)
        return same

    def nearness(self, expected: np.ndarray, actual: np.ndarray) -> dict[str, float]:
        from jpqd.scores import vectors

        recall, _ = vectors.neighbours(actual, expected)
        return {"mean_cosine": float(vectors.cosines(expected, actual).mean()), "recall_10": recall}

    def tips(
        self, expected: np.ndarray, actual: np.ndarray, nudged: Sequence[np.ndarray], exact: bool
    ) -> np.ndarray:
        """Allow vectors to be as far off as the model's own move with its roundings.

        On average they are at least as near as those, and each is as near as almost all of those.
        """
        import numpy as np

        from jpqd.scores import vectors

        moves = [vectors.cosines(expected, one) for one in nudged]
        own = vectors.cosines(expected, actual)
        least = np.quantile(moves, _RARE) if moves and own.mean() >= np.mean(moves) else 1.0
        found: np.ndarray = own >= least
        return found

    # Predicting.

    def answer(
        self, row: tuple[str, ...], encoding: Encoding, logits: np.ndarray
    ) -> dict[str, Any]:
        return {"text": row[0], "vector": [float(number) for number in logits]}

    def line(self, answer: dict[str, Any]) -> str:
        first = ", ".join(f"{number:.4f}" for number in answer["vector"][:_SHOWN])
        return f"[{first}, ... {len(answer['vector'])} numbers]"


def _whole(vectors: np.ndarray) -> list[int]:
    return [vectors.shape[1]]


def _score(task: Task, cell: Any) -> float | None:
    """Return a pair's score; no number where pairs have none, None where it is missing."""
    if task.label in task.text:
        return float("nan")
    return None if cells.is_missing(cell) else cells.as_float(cell)


def _apart(student: Tensor, teacher: Tensor) -> Tensor:
    from torch.nn import functional

    ours, theirs = functional.normalize(student), functional.normalize(teacher)
    likeness = (ours @ ours.T - theirs @ theirs.T).square().mean()
    return (1 - (ours * theirs).sum(1)).mean() + _LIKENESS * likeness


_LIKENESS = 1.0
"""The weight of what texts are like each other in."""
