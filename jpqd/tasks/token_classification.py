"""Token classification: a tag for each word of a text, which marks names and other entities."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import Field

from jpqd.core import cells
from jpqd.core.errors import DataError
from jpqd.recipe.schema import Text
from jpqd.recipe.task import Task
from jpqd.scores.entities import OUTSIDE, PREFIXES, are_readable, counts, entities
from jpqd.tasks import Columns, _declared
from jpqd.tasks._tokens import SILENT, TokenKind

if TYPE_CHECKING:
    import numpy as np
    from datasets import Dataset
    from tokenizers import Encoding, Tokenizer
    from transformers import PreTrainedTokenizerBase

    from jpqd.scores.predictions import Predictions

_ALONE = r"\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
"""Letters of Chinese and Japanese, which write no spaces."""
_LETTERS = rf"[^\W{_ALONE}]+"
_WORD = re.compile(rf"{_LETTERS}(?:[-'\u2019.@/&]{_LETTERS})*|[@#]{_LETTERS}|\S")
"""A word of a plain text: letters and digits, joined by single signs; or any other sign."""


class Tags(Task):
    """The keys of a task whose rows are words with tags."""

    text: Annotated[tuple[Text, ...], Field(min_length=1, max_length=1)] = ("tokens",)
    label: Text = "tags"


class TokenClassification(TokenKind):
    """A task whose answer is a tag for each word, such as B-person, I-person or O."""

    use = "token_classification"
    keys = Tags
    title = "token classifier"
    metrics = ("f1", "precision", "recall")
    shares = metrics
    head = "ForTokenClassification"
    exporter = "token-classification"

    # Data.

    @classmethod
    def fits(cls, task: Task, train: Dataset) -> bool:
        columns = (*task.text, task.label)
        return all(_inner(train.features.get(column)) is not None for column in columns)

    @classmethod
    def find(cls, task: Task, train: Dataset) -> Self:
        found = cls._find(task, train)
        if not are_readable(found.names):
            raise DataError(
                f"column {task.label!r}: the tags {cells.some(found.names)} mark no entities, and "
                "entities are what is counted. A tag is O, or a type behind "
                f"{'-, '.join(PREFIXES)}-, such as B-person. For numbers give task.labels."
            )
        return found

    @classmethod
    def _find(cls, task: Task, train: Dataset) -> Self:
        inner = _inner(train.features[task.label])
        if inner is None:
            raise DataError(
                f"column {task.label!r} holds no lists of tags. Give the column with a list of one "
                "tag for each word."
            )
        if names := getattr(inner, "names", None):
            return cls(*_declared.classes(task, tuple(names), "tags"))
        distinct = {cells.as_text(tag) for tags in train[task.label] for tag in tags or ()}
        if task.labels:
            return cls._with_given_labels(task, distinct)
        if len(distinct) < 2:
            raise DataError(f"column {task.label!r}: train has no two different tags.")
        ordered = tuple(sorted(distinct, key=lambda tag: (tag != OUTSIDE, tag)))
        return cls(ordered, ordered)

    @classmethod
    def _with_given_labels(cls, task: Task, distinct: set[str]) -> Self:
        numbers = tuple(str(number) for number in range(len(task.labels)))
        for meant in (task.labels, numbers):
            if distinct <= set(meant):
                return cls(task.labels, meant)
        raise DataError(
            f"column {task.label!r} holds {cells.some(sorted(distinct))}, which does not fit "
            f"task.labels {cells.some(task.labels)}. Write the tags as they stand in the data, or "
            "a name for each of the numbers 0, 1, ..."
        )

    @classmethod
    def reads(cls, task: Task, column: str, feature: Any) -> bool:
        return _inner(feature) is not None

    def label(self, task: Task, row: Mapping[str, Any]) -> list[int] | None:
        words, tags = row[task.text[0]], row[task.label]
        if not words or tags is None or len(words) != len(tags):
            return None
        texts = [cells.as_text(tag) for tag in tags]
        if any(text not in self.values for text in texts):
            return None
        return [self.values.index(text) for text in texts]

    def texts(self, task: Task, row: Mapping[str, Any]) -> list[str]:
        return [" ".join(map(str, row[task.text[0]]))]

    def encode(self, task: Task, rows: Columns, tokenizer: PreTrainedTokenizerBase) -> Columns:
        """Give a word's tag to its first piece; ignore words beyond `max_length`."""
        if not tokenizer.is_fast:
            raise DataError("a token classifier needs a tokenizer of the library `tokenizers`.")
        core = tokenizer.backend_tokenizer
        words = [_spaced([str(word) for word in row], core) for row in rows[task.text[0]]]
        encoded = tokenizer(
            words, is_split_into_words=True, truncation=True, max_length=task.max_length
        )
        tags = [self.label(task, dict(zip(rows, row, strict=True)))
                for row in zip(*rows.values(), strict=True)]  # fmt: skip
        labels = [_on_first_pieces(encoded.word_ids(row), numbers or [])
                  for row, numbers in enumerate(tags)]  # fmt: skip
        counts = [len(row) for row in words]
        lost = [count - sum(number != SILENT for number in row)
                for count, row in zip(counts, labels, strict=True)]  # fmt: skip
        return {"input_ids": encoded["input_ids"], "labels": labels, "lost": lost, "parts": counts}

    # The head, the loss, distillation.

    def head_config(self) -> dict[str, Any]:
        names = dict(enumerate(self.names))
        return {"id2label": names, "label2id": {name: number for number, name in names.items()}}

    # Figures: of entities, whose interval is over texts.

    def score(self, predictions: Predictions) -> dict[str, Any]:
        from jpqd.scores import paired

        each = self._counts(predictions)
        right, guessed, real = (int(number) for number in each.sum(0))
        guess = predictions.logits.argmax(axis=1)
        return {
            "n": predictions.count,
            "f1": 2 * right / max(guessed + real, 1),
            "f1_95": list(paired.f1_interval(each)),
            "precision": right / max(guessed, 1),
            "recall": right / max(real, 1),
            "entities": real,
            "words": len(guess),
            "word_accuracy": float((guess == predictions.labels).mean()),
        }

    def _counts(self, predictions: Predictions) -> np.ndarray:
        """Count the entities of each row: right, guessed, there."""
        import numpy as np

        guess, places = predictions.logits.argmax(axis=1), np.arange(1, predictions.count)
        cuts = np.searchsorted(predictions.rows, places)
        rows = zip(np.split(guess, cuts), np.split(predictions.labels, cuts), strict=True)
        return np.array([counts(self._tags(mine), self._tags(real)) for mine, real in rows])

    def _tags(self, numbers: np.ndarray) -> list[str]:
        return [self.names[number] for number in numbers.tolist()]

    def compare(
        self, predictions: list[Predictions], baseline: list[Predictions]
    ) -> dict[str, Any]:
        import numpy as np

        from jpqd.scores import paired

        mine, others = (np.stack([run.logits for run in runs]) for runs in (predictions, baseline))
        counted, theirs = (
            np.stack([self._counts(r) for r in runs]) for runs in (predictions, baseline)
        )
        tags, their_tags = mine.argmax(2), others.argmax(2)
        return {
            "difference": paired.f1_difference(counted, theirs),
            "agreement": paired.agreement(tags, their_tags),
            "agreement_95": paired.agreement_interval(tags, their_tags, predictions[0].count),
            "divergence": paired.divergence(mine, others),
        }

    # Predicting.

    def given(self, row: tuple[str, ...], tokenizer: Tokenizer) -> list[str]:
        return _spaced(_WORD.findall(row[0]), tokenizer)

    def answer(
        self, row: tuple[str, ...], encoding: Encoding, logits: np.ndarray
    ) -> dict[str, Any]:
        """Find the entities, with their first and last letters in the text."""
        from scipy.special import softmax

        first = _first_pieces(encoding.word_ids)
        shares = softmax(logits[list(first.values())], axis=-1)
        spans = [match.span() for match in _WORD.finditer(row[0])]
        places = [spans[word] for word in first]
        answers = []
        for kind, start, end in entities(self._tags(shares.argmax(-1))):
            letters = places[start][0], places[end][1]
            answers.append({
                "type": kind, "text": row[0][slice(*letters)], "start": letters[0],
                "end": letters[1], "probability": float(shares[start : end + 1].max(-1).mean()),
            })  # fmt: skip
        return {"text": row[0], "entities": answers}

    def line(self, answer: dict[str, Any]) -> str:
        parts = [f"{e['type']} {e['text']!r} {e['start']}-{e['end']} {e['probability']:.4f}"
                 for e in answer["entities"]]  # fmt: skip
        return ", ".join(parts) or "no entity"


def _spaced(words: list[str], tokenizer: Tokenizer) -> list[str]:
    """Put spaces between words for tokenizers that read them as parts of words (RoBERTa's)."""
    from tokenizers.pre_tokenizers import ByteLevel

    splitter = tokenizer.pre_tokenizer
    if not isinstance(splitter, ByteLevel) or splitter.add_prefix_space:
        return words
    return [*words[:1], *(f" {word}" for word in words[1:])]


def _inner(feature: Any) -> Any:
    """Return the type inside a column of lists; None for another column."""
    inner = getattr(feature, "feature", None)
    return inner if hasattr(inner, "dtype") else None


def _first_pieces(words: Sequence[int | None]) -> dict[int, int]:
    """Map each word to the place of its first piece."""
    places: dict[int, int] = {}
    for place, word in enumerate(words):
        if word is not None:
            places.setdefault(word, place)
    return places


def _on_first_pieces(words: Sequence[int | None], tags: Sequence[int]) -> list[int]:
    labels = [SILENT] * len(words)
    for word, place in _first_pieces(words).items():
        labels[place] = tags[word]
    return labels
