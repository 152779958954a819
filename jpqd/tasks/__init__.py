"""Kinds of task: `use: classification` is classification.py, class Classification.

A file holds all that a kind is; this one holds their contract, and finds the kind of some data.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

from jpqd.core.errors import DataError
from jpqd.recipe import plugins
from jpqd.recipe.task import KINDS, Task

if TYPE_CHECKING:
    import numpy as np
    from datasets import Dataset
    from tokenizers import Encoding, Tokenizer
    from torch import Tensor
    from transformers import PreTrainedTokenizerBase

    from jpqd.scores.predictions import Predictions

Columns = dict[str, list[Any]]


@dataclass(frozen=True)
class Kind(ABC):
    """A kind of task, with the labels of its data."""

    names: tuple[str, ...] = ()
    """The classes in the order of their numbers; none where a number is learnt."""
    values: tuple[str, ...] = ()
    """What stands in the data for each class, as text."""

    use: ClassVar[str]
    keys: ClassVar[type[Task]] = Task
    """The keys of a recipe's `task`."""
    title: ClassVar[str]
    """What a model of this kind is called, such as `text classifier`."""
    metrics: ClassVar[tuple[str, ...]]
    """What may choose a checkpoint, all better when larger. The first one stands for a model."""
    head: ClassVar[str]
    """The end of the names of transformers' classes, such as `ForSequenceClassification`."""
    exporter: ClassVar[str]
    """The task's name in optimum, and of a `pipeline`."""
    is_number: ClassVar[bool] = False
    """Whether an answer is a number, and not one of some classes."""
    one_answer: ClassVar[bool] = True
    """Whether a row has one answer, and not one for each of its words."""

    # Data.

    @classmethod
    @abstractmethod
    def fits(cls, task: Task, train: Dataset) -> bool:
        """Whether the data is of this kind, where a recipe does not say."""

    @classmethod
    @abstractmethod
    def find(cls, task: Task, train: Dataset) -> Self:
        """Find the labels in train."""

    @classmethod
    @abstractmethod
    def reads(cls, task: Task, column: str, feature: Any) -> bool:
        """Whether a column of this type can be used."""

    @abstractmethod
    def label(self, task: Task, row: Mapping[str, Any]) -> Any:
        """What is learnt of a row; None where the row cannot be used."""

    @abstractmethod
    def texts(self, task: Task, row: Mapping[str, Any]) -> list[str]:
        """The texts of a row, as a person reads them."""

    @abstractmethod
    def encode(self, task: Task, rows: Columns, tokenizer: PreTrainedTokenizerBase) -> Columns:
        """Turn rows into tokens with their labels."""

    # The head, the loss, distillation. Logits and labels are of a batch.

    @abstractmethod
    def head_config(self) -> dict[str, Any]:
        """What a model's config says of its head."""

    @abstractmethod
    def pad(self, labels: Sequence[Any], length: int) -> np.ndarray:
        """Make an array of a batch's labels; `length` is that of its tokens."""

    def no_label(self, tokens: int) -> Any:
        """In the place of a label, for a row of so many tokens that has none."""
        return 0

    def answers(self, logits: Any, labels: Any) -> Any:
        """Pick the logits that answer something: [answers, classes]."""
        return logits

    def targets(self, labels: Any) -> Any:
        """Pick the labels of these answers."""
        return labels

    @abstractmethod
    def loss(self, answers: Tensor, targets: Tensor) -> Tensor:
        """Return the task's own loss, a mean over answers."""

    @abstractmethod
    def distance(self, student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
        """Return how far the student's answers are from the teacher's."""

    # Figures.

    @abstractmethod
    def score(self, found: Predictions) -> dict[str, Any]:
        """Return n and the figures; the first figure is the one that stands for the model."""

    @abstractmethod
    def compare(self, found: list[Predictions], baseline: list[Predictions]) -> dict[str, Any]:
        """Compare with a baseline on the same rows, run by run."""

    @abstractmethod
    def agrees(self, expected: np.ndarray, found: np.ndarray, exact: bool) -> np.ndarray:
        """Which answers of an IR are those of its model; `exact` where nothing is rounded."""

    # Predicting, from an exported folder.

    def given(self, row: tuple[str, ...], tokenizer: Tokenizer) -> Any:
        """Return what the tokenizer is given of a row of texts."""
        return row if len(row) > 1 else row[0]

    @abstractmethod
    def answer(
        self, row: tuple[str, ...], encoding: Encoding, logits: np.ndarray
    ) -> dict[str, Any]:
        """Turn the logits of a row into what the model says."""

    @abstractmethod
    def line(self, answer: dict[str, Any]) -> str:
        """Show an answer to a person."""

    def chooser(self, task: Task) -> str:
        """Name the figure that chooses a checkpoint."""
        return task.metric or self.metrics[0]

    def value(self, found: Predictions) -> float:
        """Return the figure that stands for a model."""
        value: float = self.score(found)[self.metrics[0]]
        return value

    def facts(self) -> dict[str, Any]:
        return {"use": self.use, **asdict(self)}


def load(use: str) -> type[Kind]:
    return plugins.load(use, KINDS, Kind)


def of_facts(facts: Mapping[str, Any]) -> Kind:
    """The reverse of `facts`."""
    return load(facts["use"])(tuple(facts["names"]), tuple(facts["values"]))


def of_columns(task: Task, train: Dataset) -> type[Kind]:
    """Find the kind by what the columns hold, where the recipe does not say."""
    use = task.use or next(use for use in _last_the_plainest() if load(use).fits(task, train))
    return load(use)


def of_data(task: Task, train: Dataset) -> Kind:
    """Find the kind and its labels."""
    kind = of_columns(task, train)
    if task.metric is not None and task.metric not in kind.metrics:
        raise DataError(
            f"task.metric {task.metric!r} does not fit: the labels in column {task.label!r} make "
            f"this a {kind.use.replace('_', ' ')}. Choose one of {', '.join(kind.metrics)}, or set "
            "task.use."
        )
    return kind.find(task, train)


def _last_the_plainest() -> list[str]:
    """Classification takes whatever no other kind recognizes."""
    return sorted(plugins.names(KINDS), key=lambda use: use == _PLAINEST)


_PLAINEST = "classification"


def of_config(config: Mapping[str, Any]) -> Kind:
    """The kind of a model, by its config.json."""
    names = tuple(str(name) for _, name in sorted(_by_number(config).items()))
    architecture = next(iter(config.get("architectures") or ()), "")
    for use in plugins.names(KINDS):
        kind = load(use)
        if architecture.endswith(kind.head) and kind.is_number == (len(names) == 1):
            return kind() if kind.is_number else kind(names, names)
    return load("regression")() if len(names) == 1 else load(_PLAINEST)(names, names)


def _by_number(config: Mapping[str, Any]) -> dict[int, str]:
    return {int(number): name for number, name in (config.get("id2label") or {}).items()}
