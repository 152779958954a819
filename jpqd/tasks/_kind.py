"""The contract of a kind of task."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

from jpqd.core.errors import DataError
from jpqd.recipe.task import Task

if TYPE_CHECKING:
    import numpy as np
    from datasets import Dataset
    from tokenizers import Encoding, Tokenizer
    from torch import Tensor
    from transformers import PreTrainedTokenizerBase

    from jpqd.scores.predictions import Predictions

VECTORS = "jpqd_pooling"
"""The attribute of a network that makes vectors: how it does."""
Columns = dict[str, list[Any]]


@dataclass(frozen=True)
class Kind(ABC):
    """A kind of task, with the labels of its data."""

    names: tuple[str, ...] = ()
    """The classes in the order of their numbers; none where the model learns a number."""
    values: tuple[str, ...] = ()
    """The text that stands in the data for each class."""

    use: ClassVar[str]
    keys: ClassVar[type[Task]] = Task
    """The keys of a recipe's `task`."""
    title: ClassVar[str]
    """The name of a model of this kind, such as `text classifier`."""
    metrics: ClassVar[tuple[str, ...]]
    """The metrics that can choose a checkpoint: higher is better, the first is the main one."""
    shown: ClassVar[tuple[str, ...]] = ()
    """Figures that stand before the metrics in tables; they choose nothing."""
    shares: ClassVar[tuple[str, ...]] = ()
    """The figures that are shown in percent."""
    head: ClassVar[str]
    """The end of the names of transformers' classes, such as `ForSequenceClassification`."""
    older_heads: ClassVar[tuple[str, ...]] = ()
    """Other ends of these names: GPT-2's class is older than the rule."""
    exporter: ClassVar[str]
    """The task's name in optimum and in `pipeline`."""
    is_number: ClassVar[bool] = False
    """True where an answer is a number instead of a class."""
    one_answer: ClassVar[bool] = True
    """True where a row has one answer, and not one for each of its words."""
    rows_are_text: ClassVar[bool] = False
    """True where all rows, in their order, are one text."""
    fits_in_memory: ClassVar[bool] = True
    """True where a model's answers to all rows can be kept, and not its choice alone."""
    output: ClassVar[str] = "logits"
    """The output of an IR that holds its answers."""
    vectors: ClassVar[bool] = False
    """True where each text has a vector, which no label says: another model does."""
    follows: ClassVar[bool] = False
    """True where answers are also held against those of the recipe's own model."""
    pairs: ClassVar[bool] = False
    """True where `distance` also compares the answers of a batch with each other."""
    by_head: ClassVar[bool] = True
    """True where a model's head tells that its task is of this kind."""

    @classmethod
    def named(cls, names: tuple[str, ...]) -> Self:
        """Make the kind of a model whose config has these names."""
        return cls() if cls.is_number else cls(names, names)

    @classmethod
    def unlabelled(cls, task: Task) -> bool:
        """Return whether no label says what is right, so that a model learns from another one."""
        return cls.vectors

    # Data.

    @classmethod
    @abstractmethod
    def fits(cls, task: Task, train: Dataset) -> bool:
        """Return whether the data is of this kind, for recipes that do not say."""

    @classmethod
    @abstractmethod
    def find(cls, task: Task, train: Dataset) -> Self:
        """Find the labels in train."""

    @classmethod
    @abstractmethod
    def reads(cls, task: Task, column: str, feature: Any) -> bool:
        """Return whether a column of this type can be used."""

    @abstractmethod
    def label(self, task: Task, row: Mapping[str, Any]) -> Any:
        """Return what the model learns of a row; None where the row cannot be used."""

    @abstractmethod
    def texts(self, task: Task, row: Mapping[str, Any]) -> list[str]:
        """Return the texts of a row, as a person reads them."""

    @abstractmethod
    def encode(self, task: Task, rows: Columns, tokenizer: PreTrainedTokenizerBase) -> Columns:
        """Turn rows into tokens with their labels."""

    def together(self, task: Task) -> str | None:
        """Name the column whose equal rows no cut may part, if there is one."""
        return None

    def numbers(self, task: Task, rows: Sequence[int]) -> list[int]:
        """Number what `encode` makes of rows; the data counts its rows from 0."""
        return list(rows)

    # The head, the loss, distillation. Logits and labels are of a batch.

    @abstractmethod
    def head_config(self) -> dict[str, Any]:
        """Return the entries of a model's config that describe its head."""

    @abstractmethod
    def pad(self, labels: Sequence[Any], length: int) -> np.ndarray:
        """Make an array of a batch's labels; `length` is the number of its tokens."""

    def no_label(self, tokens: int) -> Any:
        """Return a placeholder for a row of `tokens` tokens without a label."""
        return 0

    def answers(self, logits: Any, labels: Any) -> Any:
        """Pick the logits that answer something: [answers, classes]."""
        return logits

    def targets(self, labels: Any) -> Any:
        """Pick the labels of these answers."""
        return labels

    def own(self, labels: np.ndarray) -> np.ndarray:
        """Return what the data says of labels, without answers of a model behind them."""
        return labels

    def rows_at_once(self, rows: int, length: int, words: int) -> int:
        """Return the rows, of so many wanted, that a model of so many words answers together."""
        return rows

    def kept(self, answers: Tensor, targets: Tensor) -> Tensor:
        """Return what is kept of answers, for scores."""
        return answers

    def loss(self, answers: Tensor, targets: Tensor) -> Tensor:
        """Return the task's own loss, a mean over answers; here each one is of a class."""
        from torch.nn import functional

        return functional.cross_entropy(answers, targets)

    def distance(self, student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
        """Return how far the student's answers are from the teacher's."""
        from jpqd.scores.divergence import softened

        return softened(student, teacher, temperature)

    # Figures.

    @abstractmethod
    def score(self, predictions: Predictions) -> dict[str, Any]:
        """Return n and the figures; the first figure is the one that stands for the model."""

    @abstractmethod
    def compare(
        self, predictions: list[Predictions], baseline: list[Predictions]
    ) -> dict[str, Any]:
        """Compare with a baseline on the same rows, run by run."""

    def main(self, predictions: Predictions) -> str:
        """Name the figure that `value` returns."""
        return self.metrics[0]

    def n(self, predictions: Predictions) -> int:
        """Return the number of what the main figure is of: rows, pairs of them, queries."""
        return predictions.count

    def figures(self, predictions: Predictions) -> dict[str, float]:
        """Return the figures beside the main one that `compare` gives differences of."""
        return {}

    def classes(self, predictions: list[Predictions]) -> dict[str, Any] | None:
        """Return the figures of each class over all runs; None where answers are no classes."""
        return None

    def agrees(self, expected: np.ndarray, actual: np.ndarray, exact: bool) -> np.ndarray:
        """Return which answers of an IR match its model's; `exact` where nothing is rounded."""
        same: np.ndarray = expected.argmax(axis=1) == actual.argmax(axis=1)
        return same

    def nearness(self, expected: np.ndarray, actual: np.ndarray) -> dict[str, float]:
        """Return what else a comparison with an IR tells."""
        return {}

    def tips(
        self, expected: np.ndarray, actual: np.ndarray, nudged: Sequence[np.ndarray], exact: bool
    ) -> np.ndarray:
        """Return which answers of an IR its model itself gives when its input is nudged."""
        import numpy as np

        found = np.zeros(len(actual), bool)
        for answers in nudged:
            found |= self.agrees(answers, actual, exact)
        return found

    # Predicting, from an exported folder.

    def given(self, row: tuple[str, ...], tokenizer: Tokenizer) -> Any:
        """Return a row of texts in the form that the tokenizer takes."""
        return row if len(row) > 1 else row[0]

    @abstractmethod
    def answer(
        self, row: tuple[str, ...], encoding: Encoding, logits: np.ndarray
    ) -> dict[str, Any]:
        """Turn the logits of a row into an answer for a user."""

    @abstractmethod
    def line(self, answer: dict[str, Any]) -> str:
        """Write an answer as one line."""

    def chooser(self, task: Task) -> str:
        """Name the metric that chooses a checkpoint."""
        return task.metric or self.metrics[0]

    def value(self, predictions: Predictions) -> float:
        """Return the figure that stands for a model."""
        return self.told(self.score(predictions), predictions)

    def told(self, figures: Mapping[str, Any], predictions: Predictions) -> float:
        """Pick the main figure; refuse where nothing says what is right."""
        name = self.main(predictions)
        if name not in figures:
            raise DataError(
                f"a {self.title} has no figure here: neither labels nor answers of the recipe's "
                "own model say what is right."
            )
        return float(figures[name])

    def auto_class(self) -> Any:
        """Return the class of transformers that loads models with this kind's head."""
        import transformers

        return getattr(transformers, f"AutoModel{self.head}")

    def facts(self) -> dict[str, Any]:
        return {"use": self.use, **asdict(self)}
