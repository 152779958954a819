"""A moving average of the weights: steadier than the last step, and free at inference."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

if TYPE_CHECKING:
    from jpqd.training.method import Slices

_EVERY = 8
"""The steps between updates: the same average for an eighth of the memory traffic."""


class Average:
    """The average of every weight that trains. Starts from what the weights are."""

    def __init__(self, decay: float) -> None:
        self.decay = decay
        self.weights: dict[str, Tensor] = {}
        self.live: dict[str, nn.Parameter] = {}
        """Weights by the same names. A cut may rename what it leaves: layers, quantizers."""

    def start(self, model: nn.Module) -> None:
        self.live = dict(trained(model))
        self.weights = {name: weight.detach().clone() for name, weight in self.live.items()}

    @torch.no_grad()
    def update(self, model: nn.Module, step: int, evaluated: Collection[int]) -> None:
        """The decay grows with the steps to its full value: about the last ninth of them counts.

        `evaluated` are steps after which the average is looked at.
        """
        if step % _EVERY and step not in evaluated:
            return
        last = max(step - 1 - (step - 1) % _EVERY, *(one for one in evaluated if one < step), 0)
        decay = min(self.decay, (1 + step) / (10 + step)) ** (step - last)
        live = dict(trained(model))
        torch._foreach_lerp_(
            list(self.weights.values()), [live[name] for name in self.weights], 1 - decay
        )

    @contextmanager
    def applied(self, model: nn.Module) -> Iterator[None]:
        """Inside, the model has the averaged weights."""
        self.swap(model)
        try:
            yield
        finally:
            self.swap(model)

    @torch.no_grad()
    def swap(self, model: nn.Module) -> None:
        """Exchange the model's weights and the averaged ones."""
        for name, weight in trained(model):
            other = self.weights[name]
            self.weights[name], weight.data = weight.data, other

    def resize(self, slices: Slices, model: nn.Module) -> None:
        """Follow parameters that became smaller, restart with those that did, forget the others."""
        was = {weight: self.weights[name] for name, weight in self.live.items()}
        self.live = dict(trained(model))
        self.weights = {name: was[weight] for name, weight in self.live.items()}
        for name, weight in self.live.items():
            if weight in slices:
                sliced = slices[weight]
                kept = weight.detach().clone() if sliced is None else sliced(self.weights[name])
                self.weights[name] = kept

    def save(self, path: Path) -> None:
        save_file(self.weights, path)

    def load(self, path: Path, model: nn.Module) -> None:
        self.live = dict(trained(model))
        device = next(iter(self.live.values())).device
        self.weights = {name: weight.to(device) for name, weight in load_file(path).items()}


def trained(model: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    return ((name, weight) for name, weight in model.named_parameters() if weight.requires_grad)
