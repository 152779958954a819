"""The harm that leaving less of a part does, estimated for every option at once.

The output projection of a part is solved again for the units that stay, on what it reads in the
whole model. What it then says wrongly of a token harms as much as the loss depends on that token:
squared errors count times squared gradients.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from jpqd.methods.prune import budget
from jpqd.methods.prune.refit import nearest
from jpqd.model import families
from jpqd.search.candidates import Candidates
from jpqd.search.space import Space


@dataclass
class _Part:
    """An output projection, and the products of what it reads."""

    projection: nn.Linear
    width: int
    """The inputs that belong to a unit."""
    squares: Any = 0.0
    """Sums over all tokens, each weighed by its squared gradient."""

    def seen(self, read: Tensor, gradient: Tensor) -> None:
        weights = gradient.square().sum(1, keepdim=True)
        has_bias = int(self.projection.bias is not None)
        inputs = nn.functional.pad(read, (0, has_bias), value=1.0)
        self.squares = self.squares + inputs.T @ (inputs * weights)

    def harm(self, kept: tuple[int, ...]) -> float:
        """Return the error of the projection that these units make best."""
        if not self.squares.any():  # the loss depends on none of it
            return 0.0
        places = [unit * self.width + place for unit in kept for place in range(self.width)]
        weight, bias = self.projection.weight.detach(), self.projection.bias
        old = weight.T if bias is None else torch.cat([weight.T, bias.detach()[None]])
        rows = torch.tensor([*places, *range(weight.shape[1], len(old))], dtype=torch.long)
        products = self.squares[rows] @ old
        missing = old.clone()
        missing[rows] -= nearest(self.squares[rows][:, rows], products, old[rows])
        return float((missing * (self.squares @ missing)).sum())


def harms(tried: Candidates, space: Space) -> list[list[float]]:
    """Return the harm of each option of each part; all that a part has does none."""
    parts = _parts(tried.network)
    _run(tried, parts)
    return [
        _falling([part.harm(budget.best(own, units)) for units in options[:-1]])
        if part
        else [0.0] * len(options)
        for part, own, options in zip(parts, tried.ranks, space.options, strict=True)
    ]


def _falling(harm: list[float]) -> list[float]:
    """Let no option harm more than one that leaves less."""
    least = np.maximum.accumulate([0.0, *reversed(harm)])
    return [float(value) for value in reversed(least)]


def _parts(network: PreTrainedModel) -> list[_Part | None]:
    """Find the projection behind the heads and the one behind the neurons of each layer."""
    family, size = families.of(network), families.unit_size(network)
    found = [
        (families.part(layer, path), width)
        for layer in families.layers(network)
        for path, width in ((family.attention_out, size), (family.ffn_out, 1))
    ]
    return [
        _Part(module, width) if isinstance(module, nn.Linear) else None for module, width in found
    ]


def _run(tried: Candidates, parts: list[_Part | None]) -> None:
    """Show each part what it reads, and the gradient of the loss to what it says."""
    network, kind = tried.network, tried.kind
    there = [part for part in parts if part]
    handles = [part.projection.register_forward_hook(_listening(part)) for part in there]
    network.train(False)
    for features, labels in tried.rows:
        answers = kind.answers(network(**features).logits.float(), labels)
        torch.autograd.backward(kind.loss(answers, kind.targets(labels)))
        network.zero_grad(set_to_none=True)
    for handle in handles:
        handle.remove()


def _listening(part: _Part) -> Any:
    def listen(_: nn.Module, given: tuple[Tensor, ...], out: Tensor) -> None:
        read = given[0].detach().flatten(0, -2)
        out.register_hook(lambda gradient: part.seen(read, gradient.flatten(0, -2)))  # type: ignore[no-untyped-call]

    return listen
