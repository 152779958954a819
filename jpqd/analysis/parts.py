"""The parts of a model, each with a way to leave some of it out or to round it, and back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from jpqd.methods.prune import budget
from jpqd.model import families

_GROUP = 64
"""The weights that share a scale where fewer than eight bits are left."""
EMBEDDING, HEAD = "embedding", "head"


@dataclass(frozen=True)
class Part:
    """Modules whose weights are rounded together."""

    name: str
    layer: int | None
    modules: dict[str, nn.Module]
    """Modules by their names in the model."""

    @property
    def weights(self) -> list[Tensor]:
        found: list[Any] = [module.weight for module in self.modules.values()]
        return [weight.data for weight in found]


@dataclass(frozen=True)
class Units:
    """The heads or the neurons of a layer, as columns of the projection that reads them."""

    name: str
    layer: int
    projection: nn.Linear
    width: int
    ranks: list[float]
    """The worth of each unit."""

    def gone(self, keep: float) -> list[int]:
        """Return the least valuable units, of which this share stays."""
        count = len(self.ranks)
        stays = max(1, round(keep * count)) if keep else 0
        kept = budget.best(np.array(self.ranks), stays)
        return sorted(set(range(count)) - set(kept))


def of(network: PreTrainedModel) -> list[Part]:
    """List the parts whose weights are multiplied or looked up; a head is all that is no layer."""
    names = _names(network)
    found = [_part(EMBEDDING, None, [network.get_input_embeddings()], names)]
    if families.knows(network):
        found += _of_layers(network, names)
    inside = {id(module) for part in found for module in part.modules.values()}
    rest = [m for m in network.modules() if isinstance(m, nn.Linear) and id(m) not in inside]
    found.append(_part(HEAD, None, rest, names))
    return [part for part in found if part.modules]


def _of_layers(network: PreTrainedModel, names: dict[int, str]) -> Iterator[Part]:
    family = families.of(network)
    groups = {
        "query, key, value": (family.query, family.key, family.value),
        "attention output": (family.attention_out,),
        "FFN in": tuple(families.feeding(network, family.ffn_out)),
        "FFN out": (family.ffn_out,),
    }
    for number, layer in enumerate(families.layers(network)):
        for name, paths in groups.items():
            modules = [families.part(layer, path) for path in paths]
            yield _part(name, number, modules, names)


def _names(network: nn.Module) -> dict[int, str]:
    return {id(module): name for name, module in network.named_modules()}


def _part(
    name: str, layer: int | None, modules: Sequence[nn.Module | None], names: dict[int, str]
) -> Part:
    there = {names[id(module)]: module for module in modules if module is not None}
    weighty = {name: module for name, module in there.items() if hasattr(module, "weight")}
    return Part(name, layer, weighty)


def units(network: PreTrainedModel, ranks: Sequence[Sequence[float]]) -> list[Units]:
    """List the heads and the neurons of each layer that has some."""
    family, size = families.of(network), families.unit_size(network)
    kinds = (("heads", family.attention_out, size), ("neurons", family.ffn_out, 1))
    found = []
    for number, layer in enumerate(families.layers(network)):
        for place, (name, path, width) in enumerate(kinds):
            own, projection = ranks[2 * number + place], families.part(layer, path)
            if isinstance(projection, nn.Linear) and len(own):
                found.append(Units(name, number, projection, width, list(own)))
    return found


@contextmanager
def without(units: Units, keep: float) -> Iterator[list[int]]:
    """Leave out the least valuable units, and put them back; yield their numbers."""
    gone = units.gone(keep)
    columns = [unit * units.width + place for unit in gone for place in range(units.width)]
    weight = units.projection.weight.data
    before = weight[:, columns].clone()
    weight[:, columns] = 0.0
    try:
        yield gone
    finally:
        weight[:, columns] = before


@contextmanager
def rounded(part: Part, bits: int) -> Iterator[None]:
    """Round the weights of a part, and put them back."""
    weights = part.weights
    before = [weight.clone() for weight in weights]
    for weight in weights:
        weight.copy_(rounding(weight, bits))
    try:
        yield
    finally:
        for weight, old in zip(weights, before, strict=True):
            weight.copy_(old)


def rounding(weight: Tensor, bits: int) -> Tensor:
    """Round rows to eight bits by one scale each, or groups of 64 by a scale and a zero point."""
    if bits >= 8:
        steps: int = 2 ** (bits - 1) - 1
        scale = weight.abs().amax(-1, keepdim=True).clamp(min=1e-12) / steps
        return (weight / scale).round() * scale
    if rest := weight.shape[-1] % _GROUP:  # the last group is a smaller one
        whole, last = weight[..., :-rest], weight[..., -rest:]
        ends = [_in_groups(whole, bits, _GROUP)] if whole.numel() else []
        return torch.cat([*ends, _in_groups(last, bits, rest)], -1)
    return _in_groups(weight, bits, _GROUP)


def _in_groups(weight: Tensor, bits: int, size: int) -> Tensor:
    groups = weight.reshape(*weight.shape[:-1], -1, size)
    low, high = groups.amin(-1, keepdim=True), groups.amax(-1, keepdim=True)
    steps = 2**bits - 1
    scale = ((high - low) / steps).clamp(min=1e-12)
    found: Tensor = ((groups - low) / scale).round() * scale + low
    return found.reshape(weight.shape)
