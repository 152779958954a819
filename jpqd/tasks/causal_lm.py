"""Causal language models: running text, in which every token is predicted from those before it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from jpqd.core.errors import DataError, UserError
from jpqd.recipe.schema import Count, Text
from jpqd.recipe.task import Task
from jpqd.tasks import Columns
from jpqd.tasks._tokens import SILENT, TokenKind

if TYPE_CHECKING:
    import numpy as np
    from datasets import Dataset
    from tokenizers import Encoding
    from transformers import PreTrainedTokenizerBase

    from jpqd.scores.predictions import Predictions

_NUMBERS = 2**27
"""The logits of a batch: half a gigabyte, and what is done with them takes it several times."""
_PART = 5_000_000
"""The letters that are given to a tokenizer at once."""


class RunningText(Task):
    """The keys of a task whose rows, in their order, are one text."""

    text: Annotated[tuple[Text, ...], Field(min_length=1, max_length=1)] = ("text",)
    max_length: Annotated[Count, Field(ge=4)] = 512
    """The tokens of a window: what the model reads at once."""
    stride: Count | None = None
    """The tokens of a window that count; those before them are context. By default all count."""
    begin: Literal["start", "context"] = "start"
    """start: a window begins with the model's token for the start of a text, if it has one.
    context: with the token before it, and only the first window with the token for the start."""
    separator: str = "\n"
    """The text between two rows."""

    @model_validator(mode="before")
    @classmethod
    def _labels_itself(cls, given: Any) -> Any:
        """Take the text for the label: it holds what is to be predicted."""
        if isinstance(given, dict) and "label" not in given:
            text = given.get("text", ["text"])
            return {**given, "label": text[0] if isinstance(text, list | tuple) and text else text}
        return given


@dataclass(frozen=True)
class _Window:
    """A stretch of the text: its tokens, and for each one what comes next, or SILENT."""

    ids: list[int]
    labels: list[int]

    @property
    def counts(self) -> bool:
        return any(label != SILENT for label in self.labels)

    def without(self, token: int | None) -> _Window:
        """Do not count a token."""
        return _Window(self.ids, [SILENT if one == token else one for one in self.labels])


class CausalLm(TokenKind):
    """A task whose answer is the next token."""

    use = "causal_lm"
    keys = RunningText
    title = "causal language model"
    metrics = ("log_likelihood", "top1")
    shown = ("perplexity",)
    shares = ("top1",)
    head = "ForCausalLM"
    older_heads = ("LMHeadModel",)
    exporter = "text-generation-with-past"
    rows_are_text = True
    fits_in_memory = False

    # Data.

    @classmethod
    def fits(cls, task: Task, train: Dataset) -> bool:
        return False  # any text would do, so the recipe says it

    @classmethod
    def find(cls, task: Task, train: Dataset) -> Self:
        return cls()

    @classmethod
    def named(cls, names: tuple[str, ...]) -> Self:
        return cls()

    @classmethod
    def reads(cls, task: Task, column: str, feature: Any) -> bool:
        return "string" in str(getattr(feature, "dtype", ""))

    def label(self, task: Task, row: Mapping[str, Any]) -> int | None:
        return None if row[task.text[0]] is None else 0

    def texts(self, task: Task, row: Mapping[str, Any]) -> list[str]:
        return [row[task.text[0]]]

    def encode(self, task: Task, rows: Columns, tokenizer: PreTrainedTokenizerBase) -> Columns:
        """Join all rows and cut the text into windows."""
        assert isinstance(task, RunningText)
        text = task.separator.join(rows[task.text[0]])
        ids = [one for part in _parts(text) for one in _ids(part, tokenizer)]
        if len(ids) < 2:
            raise DataError("a split has no text of two tokens, so nothing can be predicted.")
        unknown = unknown_token(tokenizer)
        every = windows_of(task, ids, tokenizer.bos_token_id)
        known = (window.without(unknown) for window in every)
        windows = [window for window in known if window.counts]
        if not windows:
            raise DataError("a split has no token that the tokenizer knows and could be predicted.")
        return {
            "input_ids": [window.ids for window in windows],
            "labels": [window.labels for window in windows],
            "lost": [0] * len(windows),
            "parts": [len(window.ids) for window in windows],
        }

    def rows_at_once(self, rows: int, length: int, words: int) -> int:
        return max(1, min(rows, _NUMBERS // (length * words)))

    # The head, the loss.

    def head_config(self) -> dict[str, Any]:
        return {}

    def kept(self, answers: Any, targets: Any) -> Any:
        """Keep the log-probability of the right token, and the best token: not all of the words."""
        import torch

        right = answers.log_softmax(-1).gather(-1, targets[:, None])[:, 0]
        return torch.stack([right, answers.argmax(-1).to(right.dtype)], 1)

    # Figures, whose intervals are over windows.

    def score(self, predictions: Predictions) -> dict[str, Any]:
        from jpqd.scores import tokens

        right = predictions.logits[:, 0]
        best = predictions.logits[:, 1] == predictions.labels
        return tokens.figures(right, best, predictions.rows)

    def compare(
        self, predictions: list[Predictions], baseline: list[Predictions]
    ) -> dict[str, Any]:
        import numpy as np

        from jpqd.scores import paired, tokens

        mine, others = (np.stack([r.logits for r in runs]) for runs in (predictions, baseline))
        best, theirs = mine[..., 1], others[..., 1]
        apart, windows = (mine[..., 0] - others[..., 0]).mean(0), predictions[0].rows
        middle, low, high = tokens.mean(apart, windows)
        least = 0.0 if apart.any() else paired.unseen(int(windows[-1]) + 1)
        known = low is not None and high is not None
        return {
            "difference": paired.widened(middle, low or 0.0, high or 0.0, least) if known else None,
            "agreement": paired.agreement(best, theirs),
            "agreement_95": paired.agreement_interval(best, theirs, predictions[0].count),
        }

    # Predicting.

    def answer(
        self, row: tuple[str, ...], encoding: Encoding, logits: np.ndarray
    ) -> dict[str, Any]:
        raise UserError("jpqd predict answers with classes and numbers; a language model writes.")

    def line(self, answer: dict[str, Any]) -> str:
        return str(answer["text"])


def unknown_token(tokenizer: PreTrainedTokenizerBase) -> int | None:
    """Return what stands for an unknown word; GPT-2 has the same token for a text's end."""
    unknown: int | None = tokenizer.unk_token_id
    known = (tokenizer.bos_token_id, tokenizer.eos_token_id)
    return None if unknown in known else unknown


def _parts(text: str) -> Iterator[str]:
    """Cut a very long text at ends of lines, or at spaces: tokenizers take much room for it."""
    start = 0
    while start < len(text):
        line = text.find("\n", start + _PART, start + 2 * _PART) + 1
        end = line or text.find(" ", start + _PART) or len(text)
        end = end if end > start else len(text)
        yield text[start:end]
        start = end


def _ids(text: str, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    ids: list[int] = tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
    return ids


def windows_of(task: RunningText, ids: list[int], start: int | None) -> Iterator[_Window]:
    """Let every token count once; only the first does not where nothing stands before it."""
    length, stride = task.max_length, min(task.stride or task.max_length, task.max_length)
    for first in range(0, len(ids), stride):
        last = min(first + stride, len(ids))
        oldest = max(0, last - length)
        if start is not None and (task.begin == "start" or oldest == 0):
            read = [start, *ids[oldest : last - 1]]
        else:
            oldest = max(1, oldest)
            read = ids[oldest - 1 : last - 1]
        counted = last - max(first, oldest)
        if counted > 0:
            silent = [SILENT] * (len(read) - counted)
            yield _Window(read, [*silent, *ids[last - counted : last]])
