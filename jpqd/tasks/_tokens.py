"""The common base of kinds with an answer for each of some tokens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from jpqd.tasks import Kind

if TYPE_CHECKING:
    import numpy as np

SILENT = -100
"""The label of a token without an answer."""


class TokenKind(Kind):
    one_answer = False

    def pad(self, labels: Sequence[Any], length: int) -> np.ndarray:
        import numpy as np

        padded = np.full((len(labels), length), SILENT)
        for row, numbers in zip(padded, labels, strict=True):
            row[: len(numbers)] = numbers
        return padded

    def no_label(self, tokens: int) -> list[int]:
        return [0] * tokens

    def answers(self, logits: Any, labels: Any) -> Any:
        return logits[labels != SILENT]

    def targets(self, labels: Any) -> Any:
        return labels[labels != SILENT]
