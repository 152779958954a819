"""Weights in four bits, with low-rank adapters that learn what rounding lost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from jpqd.recipe.schema import Count
from jpqd.training.method import Hooks, Method, Training

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class Qlora(Method):
    """Rounds weight plus adapter to four bits in every step, as they are stored in the end."""

    use: Literal["qlora"]
    rank: Count = 16
    group_size: Count = 64
    """Weights that share a scale."""
    sym: bool = False
    """Symmetric: no zero point."""

    def attach(self, model: PreTrainedModel, training: Training) -> tuple[PreTrainedModel, Hooks]:
        from jpqd.methods.qlora.place import attach

        return attach(self, model, training)
