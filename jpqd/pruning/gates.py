"""A mask over groups of a weight's columns, which learns what each group is worth."""

from typing import Any, Literal

import torch
from nncf.torch.function_hook.pruning.magnitude.modules import apply_magnitude_binary_mask
from nncf.torch.layer_utils import StatefulModuleInterface
from torch import Tensor, nn

Score = Literal["fisher", "movement", "taylor", "magnitude", "random"]
LEARNT = ("fisher", "movement", "taylor")
"""Scores that need gradients."""


class Gate(nn.Module, StatefulModuleInterface):  # type: ignore[misc]
    """A hook on a weight. The gradient of a gate is what keeping its group does to the loss."""

    mask: Tensor
    score: Tensor

    def __init__(self, groups: int, width: int, kind: str) -> None:
        super().__init__()
        self.width, self.kind = width, kind
        self.register_buffer("mask", torch.ones(groups))
        self.register_buffer("score", torch.zeros(groups))

    def forward(self, weight: Tensor) -> Tensor:
        open_ = self.mask
        if self.training and torch.is_grad_enabled() and self.kind in LEARNT:
            open_ = self.mask.detach().requires_grad_()
            open_.register_hook(self._learn)  # type: ignore[no-untyped-call]
        # NNCF looks for weights behind its own function only, so that has to be the last one.
        masked: Tensor = apply_magnitude_binary_mask(weight, open_.repeat_interleave(self.width))
        return masked

    def _learn(self, gradient: Tensor) -> None:
        self.score += change(self.kind, gradient)

    def get_config(self) -> dict[str, Any]:
        return {"groups": len(self.mask), "width": self.width, "kind": self.kind}

    @classmethod
    def from_config(cls, state: dict[str, Any]) -> "Gate":
        return cls(**state)


def change(kind: str, gradient: Tensor) -> Tensor:
    """What one step adds to the score, given the gradient of the loss to the gate."""
    if kind == "fisher":  # the loss that removing would add, to second order
        return gradient.square()
    if kind == "taylor":  # to first order
        return gradient.abs()
    return -gradient  # movement: weights that grow matter
