"""The judgement of an IR: the same predictions as its PyTorch model, or no export."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel

from export import check
from export.rows import Rows
from export.shapes import Shape
from jpqd.core import cpus
from jpqd.core.errors import RunError
from jpqd.scores.predictions import Predictions
from jpqd.tasks import Kind

EXACT, ROUNDED, IN_4_BITS = 1.0, 0.995, 0.95
"""The share of rows that need the same prediction: in f32, where values are rounded, and where the
word embedding is rounded to 4 bits, which no training prepared.
"""
_NUDGE, _NUDGES = 1e-5, 3
_OVERFLOW = (
    "\nThis CPU has no VNNI, and sums of INT8 products overflow on it where weights have 8 bits: "
    "quantize here, or with overflow_fix: true."
)
_WORST, _NUMBERS = 3, 8
"""The answers that an error shows, and the numbers of each."""


class Reference:
    """The PyTorch model's answers to some rows, and those that it gives when it is nudged."""

    def __init__(self, network: PreTrainedModel, rows: Rows, shape: Shape) -> None:
        self.network, self.rows, self.shape = network, rows, shape
        self._nudged: list[Predictions] = []

    @cached_property
    def answers(self) -> Predictions:
        return self._ask()

    def nudged(self) -> Iterator[Predictions]:
        """Answer the rows again and again, each time with other noise on the word embeddings."""
        for seed in range(_NUDGES):
            if seed == len(self._nudged):
                with _noise(self.network, seed):
                    self._nudged.append(self._ask())
            yield self._nudged[seed]

    def _ask(self) -> Predictions:
        ask = check.pytorch(self.network, self.rows, self.shape)
        return check.answers(ask, self.rows, self.shape, self.rows.batches())


@contextmanager
def _noise(network: PreTrainedModel, seed: int) -> Iterator[None]:
    """Change what each dimension of the words says by about one part in 100,000."""

    def change(_: torch.nn.Module, __: Any, out: Tensor) -> Tensor:
        same = torch.Generator().manual_seed(seed)
        return out * (1 + _NUDGE * torch.randn(out.shape[-1], generator=same))

    hook = network.get_input_embeddings().register_forward_hook(change)
    try:
        yield
    finally:
        hook.remove()


@dataclass(frozen=True)
class Parity:
    """The answers of both models, in the order of the rows."""

    expected: Predictions
    actual: Predictions
    asked: float
    kind: Kind
    nudged: tuple[Predictions, ...] = ()
    """Other answers of the same PyTorch model, nearly as good."""

    @cached_property
    def same(self) -> np.ndarray:
        expected, actual = self.expected.logits, self.actual.logits
        same: np.ndarray = self.kind.agrees(expected, actual, self.asked == EXACT)
        return same

    @cached_property
    def undecided(self) -> np.ndarray:
        """The answers that differ, and are those of the PyTorch model when it is nudged."""
        nudged = [answers.logits for answers in self.nudged]
        expected, actual = self.expected.logits, self.actual.logits
        tips: np.ndarray = ~self.same
        tips &= self.kind.tips(expected, actual, nudged, self.asked == EXACT)
        return tips

    @property
    def holds(self) -> bool:
        finite = bool(np.isfinite(self.actual.logits).all())
        return finite and float((self.same | self.undecided).mean()) >= self.asked

    def facts(self) -> dict[str, Any]:
        gap = np.abs(self.expected.logits - self.actual.logits)
        return {
            "rows": self.actual.count,
            "answers": len(self.same),
            "same": float(self.same.mean()),
            "undecided": int(self.undecided.sum()),
            "same_asked": self.asked,
            "largest_difference": float(gap.max()),
            "mean_difference": float(gap.mean()),
            **self.kind.nearness(self.expected.logits, self.actual.logits),
        }

    def summary(self) -> str:
        facts = self.facts()
        what = "rows" if self.kind.one_answer else "words"
        nudged = (
            f", and {facts['undecided']} get one that the model itself gives when its input "
            f"changes by {_NUDGE:.0e}"
        )
        return (
            f"{int(self.same.sum())} of {facts['answers']} {what} get the same prediction"
            f"{nudged if self.nudged else ''}; logits differ by {facts['mean_difference']:.1e} "
            f"on average, by {facts['largest_difference']:.1e} at the most"
        )

    def require(self, rows: Rows, what: str) -> None:
        if self.holds:
            return
        gap = np.abs(self.expected.logits - self.actual.logits).max(axis=1)
        agrees = (self.same | self.undecided) & np.isfinite(gap)
        order = np.argsort(-np.where(agrees, -1.0, np.nan_to_num(gap, nan=np.inf)))
        worst = [one for one in order if not agrees[one]]
        raise RunError(
            f"{what} differs from its model: {self.summary()} (required: {self.asked:.1%}).\n"
            + "\n".join(self._answer(rows, int(one)) for one in worst[:_WORST])
            + _OVERFLOW * cpus.sums_overflow()
            + "\nNothing was written. To export it anyway, switch the check off: --no-check, "
            "or `check: false` in a recipe."
        )

    def _answer(self, rows: Rows, one: int) -> str:
        row = int(self.actual.rows[one])
        text = " / ".join(column[row] for column in rows.texts)
        expected, actual = (
            [round(float(value), 4) for value in side.logits[one][:_NUMBERS]]
            for side in (self.expected, self.actual)
        )
        return (
            f"    row {rows.numbers[row]} of {rows.split} ({text[:60]!r}): "
            f"PyTorch {expected}, IR {actual}"
        )


def judged(reference: Reference, actual: Predictions, asked: float, *, rounds: bool) -> Parity:
    """Compare an IR's answers; of a model that `rounds`, nudge it where they fall short.

    Roundings tip over: where INT8 has many layers, a model does not agree with itself either once
    sums are in another order.
    """
    parity = Parity(reference.answers, actual, asked, reference.rows.kind)
    others = reference.nudged() if rounds else iter(())
    while not parity.holds and (answers := next(others, None)) is not None:
        parity = replace(parity, nudged=(*parity.nudged, answers))
    return parity
