"""Weights of few values: each is (number - zero) * scale, with a scale for each group or row."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Self

import torch
from nncf.torch.function_hook import get_hook_storage
from nncf.torch.function_hook.hook_storage import decode_hook_name
from nncf.torch.layer_utils import StatefulModuleInterface
from torch import Tensor, nn
from transformers import PreTrainedModel


class Rounded(nn.Module, StatefulModuleInterface):  # type: ignore[misc]
    """Stands on a rounded weight, which it hands on as it is, and knows its grid."""

    calls_no_functions = True

    def __init__(self, bits: int, lowest: int, groups: list[int], scales: list[int]) -> None:
        """`groups` is the weight's shape with the members of a group in its last dimension."""
        super().__init__()
        self.bits, self.lowest, self.groups = bits, lowest, groups
        self.scale: Tensor
        self.zero: Tensor
        self.register_buffer("scale", torch.ones(scales, dtype=torch.float16))
        self.register_buffer("zero", torch.zeros(scales, dtype=torch.uint8))  # gloo knows no int16

    def forward(self, weight: Tensor) -> Tensor:
        return weight

    @property
    def bounds(self) -> tuple[int, int]:
        return self.lowest, self.lowest + 2**self.bits - 1

    def places(self, weight: Tensor) -> Tensor:
        """Return where a weight's values lie on the grid, between its numbers."""
        return weight.reshape(self.groups).float() / self.scale.float() + self.zero

    def numbers(self, weight: Tensor) -> Tensor:
        return self.places(weight).round_().clamp_(*self.bounds)

    def weights(self, numbers: Tensor, like: Tensor) -> Tensor:
        """Return the values of numbers, in the shape of a weight."""
        return ((numbers - self.zero) * self.scale.float()).view_as(like)

    def round(self, weight: Tensor) -> Tensor:
        return self.weights(self.numbers(weight), weight)

    def get_config(self) -> dict[str, Any]:
        shapes = {"groups": list(self.groups), "scales": list(self.scale.shape)}
        return {"bits": self.bits, "lowest": self.lowest, **shapes}

    @classmethod
    def from_config(cls, state: dict[str, Any]) -> Self:
        if state["bits"] not in (4, 8):
            raise ValueError(f"weights of {state['bits']} bits")
        return cls(**state)


def on(model: PreTrainedModel) -> Iterator[tuple[str, str, Rounded]]:
    """Give the name of each hook, that of its weight, and the grid."""
    for name, hook in list(get_hook_storage(model).named_hooks()):
        if isinstance(hook, Rounded):
            yield name, decode_hook_name(name)[1], hook


def check(model: PreTrainedModel) -> None:
    """Refuse grids that do not fit the weights that they stand on."""
    for _, path, grid in on(model):
        if math.prod(grid.groups) != model.get_parameter(path).numel():
            raise ValueError(f"groups of {grid.groups} do not fit {path}")
