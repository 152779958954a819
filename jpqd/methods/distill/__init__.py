"""Learning from a teacher: from its predictions, its hidden states, its attention."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jpqd.methods.distill.options import Options
from jpqd.training.method import Hooks, Training

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class Distill(Options):
    """Trains towards a teacher, with the task's own loss in the share that `weight` leaves."""

    def attach(self, model: PreTrainedModel, training: Training) -> tuple[PreTrainedModel, Hooks]:
        from jpqd.methods.distill.losses import attach

        return attach(self, model, training)
