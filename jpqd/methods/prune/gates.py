"""Masks over blocks of a weight, which learn what each block is worth."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from nncf.torch.function_hook import get_hook_storage
from nncf.torch.function_hook.pruning.magnitude.modules import apply_magnitude_binary_mask
from nncf.torch.layer_utils import StatefulModuleInterface
from torch import Tensor, nn

LEARNT = ("fisher", "movement", "taylor")
"""The scores that need gradients."""
ALL = 0
"""A block's size that means the whole dimension."""

Shape = tuple[int, int]


class Gate(nn.Module, StatefulModuleInterface):  # type: ignore[misc]
    """A mask as a hook on a weight. Its gradient is the effect of a block on the loss."""

    mask: Tensor
    score: Tensor

    def __init__(self, shape: Shape, block: Shape, kind: str) -> None:
        super().__init__()
        self.block, self.kind = block, kind
        self.register_buffer("mask", torch.ones(tuple(shape)))
        self.register_buffer("score", torch.zeros(tuple(shape)))

    def forward(self, weight: Tensor) -> Tensor:
        # NNCF looks for weights behind its own function only, so that has to be the last one.
        masked: Tensor = apply_magnitude_binary_mask(weight, self.spread(self.open()))
        return masked

    def open(self) -> Tensor:
        """Return the mask, as a leaf that receives its gradient while scores are learnt."""
        if not (self.training and torch.is_grad_enabled() and self.kind in LEARNT):
            return self.mask
        leaf = self.mask.detach().requires_grad_()
        leaf.register_hook(self._learn)  # type: ignore[no-untyped-call]
        return leaf

    def _learn(self, gradient: Tensor) -> None:
        self.score += change(self.kind, gradient)

    def spread(self, values: Tensor) -> Tensor:
        """Repeat values to one for each weight; a whole dimension is left to broadcasting."""
        for dim, size in enumerate(self.block):
            if size > 1:
                values = values.repeat_interleave(size, dim)
        return values

    def get_config(self) -> dict[str, Any]:
        return {"shape": tuple(self.mask.shape), "block": self.block, "kind": self.kind}

    @classmethod
    def from_config(cls, state: dict[str, Any]) -> Gate:
        return cls(**state)


def on(weight: Tensor, block: Shape, score: str, kind: type[Gate] | None = None) -> Gate:
    """Make a gate that fits a weight."""
    rows, columns = (
        1 if size == ALL else whole // size for whole, size in zip(weight.shape, block, strict=True)
    )
    return (kind or Gate)((rows, columns), block, score).to(weight.device)


def remove(model: nn.Module, gates: Iterable[Gate]) -> None:
    """Remove gates from their weights."""
    ours, storage = set(gates), get_hook_storage(model)
    for name, hook in list(storage.named_hooks()):
        if hook in ours:
            storage.delete_hook(name)


def change(kind: str, gradient: Tensor) -> Tensor:
    """Return a step's change of the score, given the gradient of the loss to the gate."""
    if kind == "fisher":  # the loss that removing would add, to second order
        return gradient.square()
    if kind == "taylor":  # to first order
        return gradient.abs()
    return -gradient  # movement: weights that grow matter
