"""Attention heads and feed-forward neurons: what a CPU runs faster when it is gone."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from nncf.torch.function_hook import (
    register_post_function_hook,
    wrap_model,
)
from torch import Tensor, nn
from transformers import PreTrainedModel

from jpqd.data.batching import Batch
from jpqd.methods.prune import budget, surgeon
from jpqd.methods.prune.budget import Pool
from jpqd.methods.prune.gates import ALL, LEARNT, Gate, Shape, on, remove
from jpqd.methods.prune.options import Options
from jpqd.methods.prune.surgeon import Order
from jpqd.model import families, shrink
from jpqd.model.shrink import Kept, Slices
from jpqd.tasks import Kind

Place = tuple[int, str]
"""A layer's number, and the name of one of its projections."""

_BLOCK, _WIDE = 64, 512
"""INT8 kernels work on 64 columns at a time; narrow layers cannot afford such steps."""


class HeadsFfn:
    """One gate on the columns of each output projection: a group for a head, or for a neuron."""

    cuts_early = True
    refits = True
    kind = Gate

    def __init__(self, model: PreTrainedModel, options: Options, seed: int) -> None:
        self.model, self.options = model, options
        self.arch = families.of(model)
        self.layers = families.layers(model)
        self.head_size = families.unit_size(model)
        self.before = shrink.sizes(model)
        self.total = _weights(self.layers)
        self.random = np.random.default_rng(seed)
        self.drawn: dict[str, np.ndarray] = {}
        self.orders: dict[Place, Order] = {}
        wrap_model(model)
        self.gates = self._gates()
        self.costs = {path: self._cost(index, path) for index, path in reversed(self.gates)}

    def _gates(self) -> dict[Place, Gate]:
        """Put gates on the model, and return them by layer and projection."""
        gates = {}
        for index, (heads, neurons) in enumerate(self.before):
            if heads:
                gates[index, self.arch.attention_out] = self._put(
                    index, self.arch.attention_out, (ALL, self.head_size)
                )
            if neurons:
                gates[index, self.arch.ffn_out] = self._put(index, self.arch.ffn_out, (ALL, 1))
        return gates

    def _put(self, index: int, path: str, block: Shape) -> Gate:
        weight = _weight(self.layers[index], path)
        gate = on(weight, block, self.options.score, self.kind)
        name = f"{families.layers_path(self.model)}.{index}.{path}.weight"
        register_post_function_hook(self.model, name, 0, gate)
        return gate

    # The budget.

    def bounds(self) -> tuple[float, float]:
        """The least and the most of the layers' weights that can be kept, as shares."""
        least, most = budget.extremes(self._pools())
        fixed = self._fixed()
        return (fixed + least) / self.total, (fixed + most) / self.total

    def _fixed(self) -> int:
        """Weights that belong to no unit: norms, and the biases behind the projections."""
        return self.total - sum(
            self.costs[path] * gate.mask.numel() for (_, path), gate in self.gates.items()
        )

    def _cost(self, index: int, path: str) -> int:
        """Count the weights and biases that leave with one unit."""
        rows = [self.layers[index].get_submodule(n) for n in families.feeding(self.model, path)]
        weights = sum(parameter.numel() for row in rows for parameter in row.parameters())
        projection = _weight(self.layers[index], path)
        return (weights + projection.numel()) // self.gates[index, path].mask.numel()

    def _pools(self) -> list[Pool]:
        options = self.options
        pools = []
        for (index, path), gate in self.gates.items():
            count = gate.mask.numel()
            is_ffn = path == self.arch.ffn_out
            pools.append(
                Pool(
                    layer=index,
                    scores=self._comparable(index, path, gate),
                    cost=self.costs[path],
                    block=self._block(count) if is_ffn else 1,
                    least=max(int(np.ceil(options.floor * count)), self._needed(path)),
                    most=int(options.ceiling * count),
                )
            )
        return pools

    def _needed(self, path: str) -> int:
        """Count the units without which a layer would not work."""
        return int(path == self.arch.attention_out and not self.arch.reads_ahead)

    def _block(self, neurons: int) -> int:
        return self.options.round_ffn_to or usual_step(neurons)

    def _comparable(self, index: int, path: str, gate: Gate) -> np.ndarray:
        """Three scores estimate a loss, so per weight they compare everywhere. The others
        have no common scale: a unit is worth what it is among its own kind in its layer."""
        values = self.worth(index, path)
        if self.options.score in ("fisher", "surgeon"):
            return values / self.costs[path]
        if self.options.score == "taylor":  # grows with the root of a unit's size: signs differ
            return values**2 / self.costs[path]
        order = values.argsort().argsort()
        return (order + 1) / len(order)

    def worth(self, index: int, path: str) -> np.ndarray:
        """Return the score of each unit."""
        gate = self.gates[index, path]
        if self.options.score in LEARNT:
            return gate.score.flatten().double().cpu().numpy()
        if self.options.score == "surgeon":
            order = self.orders.get((index, path))
            return order.worth() if order else np.ones(gate.mask.numel())  # nobody chose yet
        if self.options.score == "magnitude":
            return self._magnitude(index, path).double().cpu().numpy()
        key = f"{index}.{path}"
        if key not in self.drawn:
            self.drawn[key] = self.random.random(gate.mask.numel())
        return self.drawn[key]

    def order(self, rows: Iterable[tuple[Batch, Tensor]], kind: Kind, *, bf16: bool) -> None:
        """Find the order of the units, for `score: surgeon`."""
        found = surgeon.orders(self.model, rows, kind, bf16=bf16)
        for index, path in self.gates:
            order = found[2 * index + (path == self.arch.ffn_out)]
            assert order is not None  # a gate stands on a projection
            self.orders[index, path] = order

    def _magnitude(self, index: int, path: str) -> Tensor:
        """The norm of all weights that belong to a unit."""
        power = 1 if self.options.norm == "l1" else 2
        layer = self.layers[index]
        count = self.gates[index, path].mask.numel()
        weights = [_weight(layer, path).T]
        weights += [_weight(layer, row) for row in families.feeding(self.model, path)]
        mass = [weight.abs().pow(power).reshape(count, -1).sum(1) for weight in weights]
        return torch.stack(mass).sum(0).pow(1 / power)

    # Masks and the cut.

    def mask(self, keep: float) -> None:
        """Close gates until this share of the layers' weights is left."""
        pools = self._pools()
        if self.options.scope == "layer":
            kept = self._by_layer(pools, keep)
        else:
            kept = budget.choose(pools, keep * self.total - self._fixed())
        for gate, members in zip(self.gates.values(), kept, strict=True):
            gate.mask.zero_()
            gate.mask[0, list(members)] = 1

    def _by_layer(self, pools: list[Pool], keep: float) -> list[tuple[int, ...]]:
        """The same share in every layer."""
        kept: list[tuple[int, ...]] = []
        for index, layer in enumerate(self.layers):
            own = [pool for pool in pools if pool.layer == index]
            weights = sum(p.numel() for p in layer.parameters())
            fixed = weights - sum(pool.cost * len(pool.scores) for pool in own)
            kept += budget.choose(own, keep * weights - fixed)
        return kept

    def kept_share(self) -> float:
        """Return the share of the layers' weights that the masks leave now."""
        units = sum(
            self.costs[path] * float(gate.mask.sum()) for (_, path), gate in self.gates.items()
        )
        return (self._fixed() + units) / self.total

    def cut(self) -> Slices:
        """Make the masks real. The gates are gone afterwards."""
        kept = [self._kept(index) for index in range(len(self.layers))]
        remove(self.model, self._gate_hooks())
        return shrink.cut(self.model, kept)

    def _gate_hooks(self) -> list[Gate]:
        return list(self.gates.values())

    def _kept(self, index: int) -> Kept:
        def members(path: str) -> tuple[int, ...]:
            gate = self.gates.get((index, path))
            return () if gate is None else tuple(gate.mask[0].nonzero().flatten().tolist())

        return Kept(members(self.arch.attention_out), members(self.arch.ffn_out))

    # A checkpoint.

    def masks(self) -> dict[str, Tensor]:
        return {f"{index}.{path}": gate.mask.cpu() for (index, path), gate in self.gates.items()}

    def restore(self, masks: dict[str, Tensor]) -> None:
        for (index, path), gate in self.gates.items():
            gate.mask.copy_(masks[f"{index}.{path}"])


def usual_step(neurons: int) -> int:
    """Return the number that a layer's neurons are a multiple of, where nobody says another."""
    return _BLOCK if neurons >= _WIDE else 8


def _weights(layers: nn.ModuleList) -> int:
    return sum(parameter.numel() for parameter in layers.parameters())


def _weight(layer: nn.Module, path: str) -> Tensor:
    weight = layer.get_submodule(path).weight
    assert isinstance(weight, Tensor)
    return weight.detach()
