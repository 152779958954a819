"""The order in which units are missed least, where what is left is solved again each time.

A unit whose work others can do goes early, whatever it weighs (Optimal Brain Surgeon, by units).
What a projection then says wrongly harms as much as the loss depends on it: errors count as they
lie along the gradients.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from jpqd.data.batching import Batch
from jpqd.methods.prune import learning
from jpqd.methods.prune.refit import pull
from jpqd.model import families
from jpqd.tasks import Kind

_TIES = 1e-9
_STEPS = 96
"""The times at which a projection is solved again: of many units, some go together."""


@dataclass(frozen=True)
class Order:
    """The units of a part, those that are missed least first."""

    units: tuple[int, ...]
    harm: tuple[float, ...]
    """The loss that grows as they go: 0 with all, then without the first one, the first two."""

    def left(self, count: int) -> tuple[int, ...]:
        """Return the units that go last, by their numbers."""
        return tuple(sorted(self.units[len(self.units) - count :]))

    def worth(self) -> np.ndarray:
        """Return what is lost with each unit. One that goes later is never worth less."""
        lost = np.maximum.accumulate(np.diff(self.harm))
        found = np.empty(len(self.units))
        found[list(self.units)] = lost * (1 + _TIES * np.arange(len(lost)))
        return found

    def harm_with(self, count: int) -> float:
        return self.harm[len(self.units) - count]


@dataclass
class Part:
    """An output projection, with the products of what it reads and of gradients to what it says."""

    projection: nn.Linear
    width: int
    """The inputs that belong to a unit."""
    squares: Any = 0.0
    gradients: Any = 0.0

    def seen(self, read: Tensor, gradient: Tensor) -> None:
        counts = gradient.any(1)  # no padding, and in the last layer what the head reads
        read, gradient = read[counts].float(), gradient[counts].float()
        has_bias = int(self.projection.bias is not None)
        inputs = nn.functional.pad(read, (0, has_bias), value=1.0)
        # A model that computes in bf16 would multiply these in it too, and round the sums.
        with torch.autocast(read.device.type, enabled=False):
            self.squares = self.squares + inputs.T @ inputs
            self.gradients = self.gradients + gradient.T @ gradient

    def order(self) -> Order:
        weight, bias = self.projection.weight.detach(), self.projection.bias
        count = weight.shape[1] // self.width
        if not torch.is_tensor(self.squares) or not self.gradients.any():
            return Order(tuple(range(count)), (0.0,) * (count + 1))
        old = weight.T if bias is None else torch.cat([weight.T, bias.detach()[None]])
        along = old.double() @ _root(self.gradients.double())
        return _Removing(self.squares.double(), along, self.width, count).order()


def _root(products: Tensor) -> Tensor:
    """Return a matrix whose product with its own transpose this is."""
    powers, directions = torch.linalg.eigh(products)
    root: Tensor = directions * powers.clamp(min=0).sqrt()
    return root


class _Removing:
    """A projection that loses its units. The inverse of the products is kept up to date."""

    def __init__(self, squares: Tensor, weights: Tensor, width: int, count: int) -> None:
        squares.diagonal().add_(pull(squares))
        self.inverse = torch.linalg.inv(squares).float()
        self.weights = weights.float()
        self.rows = torch.arange(count * width, device=weights.device).view(count, width)
        self.there = torch.ones(count, dtype=torch.bool, device=weights.device)

    def order(self) -> Order:
        units: list[int] = []
        harm = [0.0]
        together = -(-len(self.rows) // _STEPS)
        while self.there.any():
            there = self.there.nonzero().flatten()
            missed = self._missed(there)
            first = missed.argsort()[:together]
            units += there[first].tolist()
            added = self._remove(there[first])
            shares = missed[first].cumsum(0) / missed[first].sum().clamp(min=_LEAST)
            harm += [harm[-1] + added * share for share in shares.tolist()]
        return Order(tuple(units), tuple(harm))

    def _missed(self, units: Tensor) -> Tensor:
        """Return what is lost where one of the units goes and the others are solved again."""
        rows = self.rows[units]
        own = self.inverse[rows[:, :, None], rows[:, None, :]]
        weights = self.weights[rows]
        missed: Tensor = (weights * torch.linalg.solve(own, weights)).sum((1, 2))
        return missed.clamp(min=0.0)

    def _remove(self, units: Tensor) -> float:
        """Solve again without these units, and return what is lost with them."""
        rows = self.rows[units].flatten()
        weights, columns = self.weights[rows], self.inverse[:, rows]
        solved = torch.linalg.solve(columns[rows], torch.cat([weights, self.inverse[rows]], 1))
        new, inverse = solved.tensor_split([weights.shape[1]], 1)
        self.weights = self.weights - columns @ new
        self.inverse = self.inverse - columns @ inverse
        self.there[units] = False
        return max(0.0, float((weights * new).sum()))


_LEAST = 1e-30


def orders(
    network: PreTrainedModel,
    batches: Iterable[tuple[Batch, Tensor]],
    kind: Kind,
    *,
    bf16: bool = False,
) -> list[Order | None]:
    """Return the order of every part: heads of the first layer, its neurons, and so on."""
    parts = _parts(network)
    with torch.autocast(network.device.type, torch.bfloat16, enabled=bf16):
        _watch(network, [part for part in parts if part], batches, kind)
    return [part.order() if part else None for part in parts]


def _parts(network: PreTrainedModel) -> list[Part | None]:
    """Find the projection behind the heads and the one behind the neurons of each layer."""
    family, size = families.of(network), families.unit_size(network)
    found = [
        (families.part(layer, path), width)
        for layer in families.layers(network)
        for path, width in ((family.attention_out, size), (family.ffn_out, 1))
    ]
    return [
        Part(module, width) if isinstance(module, nn.Linear) else None for module, width in found
    ]


def _watch(
    network: PreTrainedModel,
    parts: Sequence[Part],
    batches: Iterable[tuple[Batch, Tensor]],
    kind: Kind,
) -> None:
    """Show each part what it reads, and the gradient of the loss to what it says."""
    handles = [part.projection.register_forward_hook(_listening(part)) for part in parts]
    words: Any = network.get_input_embeddings().weight
    kept, words.grad = words.grad, None
    with learning.still(network):
        words.requires_grad_(True)  # the only weight that learns, so that gradients get that far
        learning.backward(network, batches, kind)
    words.grad = kept
    for handle in handles:
        handle.remove()


def _listening(part: Part) -> Any:
    def listen(_: nn.Module, given: tuple[Tensor, ...], out: Tensor) -> None:
        read = given[0].detach().flatten(0, -2)
        out.register_hook(lambda gradient: part.seen(read, gradient.flatten(0, -2)))  # type: ignore[no-untyped-call]

    return listen
