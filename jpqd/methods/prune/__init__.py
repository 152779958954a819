"""Pruning: heads, neurons, layers or weights go, and what is left goes on training."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jpqd.methods.prune.options import Options
from jpqd.training.method import Hooks, Training

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class Prune(Options):
    """Keeps the share of the layers' weights that is worth most, and cuts the rest out."""

    def attach(self, model: PreTrainedModel, training: Training) -> tuple[PreTrainedModel, Hooks]:
        from jpqd.methods.prune.attach import attach

        return model, attach(model, self, training)
