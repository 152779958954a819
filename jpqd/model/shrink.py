"""Cut heads, neurons and layers out of a model: smaller weights, and quantizers sliced with them.

The parameters stay the same objects, so whoever holds them (an optimizer, an average) goes on with
the same index.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from jpqd.model import families, position_bias, still
from jpqd.model.described import Family

Slices = dict[nn.Parameter, Callable[[Tensor], Tensor] | None]
"""The way in which each parameter that became smaller was sliced."""


_PLAIN = re.compile(r"(.*/)(\d+)(__\d+)")
_IN_A_HOOK = re.compile(r"(.*_hook__.*-)(\d+)(__\d+\[\d+\]/.+)")
"""The name of a hook on an operation of another hook, which has the call in its own name."""
_HEADS, _LAYERS = "heads_kept", "layers_before"
HOOKS = "__nncf_hooks"
"""The module in which NNCF keeps its own, if a model has any."""


@dataclass(frozen=True)
class Kept:
    """The heads and neurons that stay of one layer, by number."""

    heads: tuple[int, ...]
    neurons: tuple[int, ...]


def sizes(model: PreTrainedModel) -> list[tuple[int, int]]:
    """Count the heads and neurons of every layer, as they are now."""
    family, size = families.of(model), families.unit_size(model)

    def width(layer: nn.Module, path: str) -> int:
        module = families.part(layer, path)
        return module.in_features if isinstance(module, nn.Linear) else 0

    return [
        (width(layer, family.attention_out) // size, width(layer, family.ffn_out))
        for layer in families.layers(model)
    ]


def cut(model: PreTrainedModel, kept: Sequence[Kept]) -> Slices:
    """Leave what is kept of every layer. The model itself changes."""
    before = sizes(model)
    families.refuse_headless(model, [len(keep.heads) for keep in kept])
    slices: Slices = {}
    old = heads_kept(model)
    numbers = [tuple(known[i] for i in keep.heads) for known, keep in zip(old, kept, strict=True)]
    cutter = _Cutter(model, slices)
    for index, (keep, (heads, neurons)) in enumerate(zip(kept, before, strict=True)):
        if len(keep.heads) < heads:
            cutter.heads(index, keep.heads)
        if len(keep.neurons) < neurons:
            cutter.neurons(index, keep.neurons)
    cutter.calls.renumber(range(len(kept)))
    remember_heads(model, numbers)
    return slices


def heads_kept(model: PreTrainedModel) -> list[tuple[int, ...]]:
    """Return the heads of each layer, as the model before any cut numbers them."""
    whole = [tuple(range(heads)) for heads, _ in sizes(model)]
    kept: list[tuple[int, ...]] = getattr(model, _HEADS, whole)
    return kept


def remember_heads(model: PreTrainedModel, numbers: list[tuple[int, ...]]) -> None:
    """Say which heads the layers have: attention that shares a bias reads its own rows of it."""
    setattr(model, _HEADS, numbers)
    family = families.of(model)
    if family.position_bias is None:
        return  # nothing in the layers depends on the numbers
    whole, _ = families.whole_layer(model)
    for layer, heads in zip(families.layers(model), numbers, strict=True):
        attention = families.part(layer, family.attention)
        if 0 < len(heads) < whole and attention is not None:
            position_bias.follow(attention, family.position_bias, heads)


class _Cutter:
    def __init__(self, model: PreTrainedModel, slices: Slices) -> None:
        self.model, self.slices = model, slices
        self.family: Family = families.of(model)
        self.layers = families.layers(model)
        self.calls = Calls(model)

    def heads(self, index: int, kept: tuple[int, ...]) -> None:
        family, layer = self.family, self.layers[index]
        if not kept:
            still.put(layer, family.attention, family.attention_out, pair=True)
            return
        for path, size in families.feeding(self.model, family.attention_out).items():
            self._rows(index, path, _of_units(kept, size))
        columns = _of_units(kept, families.unit_size(self.model))
        self._columns(index, family.attention_out, columns)
        families.tell_heads(self.model, layer.get_submodule(family.attention), len(kept))

    def neurons(self, index: int, kept: tuple[int, ...]) -> None:
        family, layer = self.family, self.layers[index]
        if not kept:
            still.put(layer, family.ffn, family.ffn_out, pair=False)
            return
        rows = torch.tensor(kept)
        for path in family.ffn_in:
            self._rows(index, path, rows)
        self._columns(index, family.ffn_out, rows)

    def _rows(self, index: int, path: str, rows: Tensor) -> None:
        linear = self.layers[index].get_submodule(path)
        assert isinstance(linear, nn.Linear)
        self._slice(linear.weight, 0, rows)
        if linear.bias is not None:
            self._slice(linear.bias, 0, rows)
        linear.out_features = len(rows)
        quantizer = self.calls.hook(path, index, 1, "_scale_param_storage")
        if quantizer is not None and quantizer.per_channel:
            self._slice(quantizer._scale_param_storage, 0, rows)
            quantizer._scale_shape = (len(rows), 1)
            quantizer._qspec.scale_shape = (len(rows), 1)

    def _columns(self, index: int, path: str, columns: Tensor) -> None:
        linear = self.layers[index].get_submodule(path)
        assert isinstance(linear, nn.Linear)
        self._slice(linear.weight, 1, columns)
        linear.in_features = len(columns)
        smoothing = self.calls.hook(path, index, 0, "_scale_value")
        if smoothing is not None:
            self._slice(smoothing._scale_value, -1, columns)

    def _slice(self, parameter: Any, dim: int, kept: Tensor) -> None:
        def select(tensor: Tensor) -> Tensor:
            return tensor.index_select(dim, kept.to(tensor.device)).contiguous()

        parameter.data = select(parameter.data)
        parameter.grad = None
        self.slices[parameter] = select


def _of_units(kept: tuple[int, ...], size: int) -> Tensor:
    """Return the rows or columns of the units that stay."""
    return torch.cat([torch.arange(size) + unit * size for unit in kept])


class Calls:
    """NNCF's hooks inside the layers: `<encoder>/<part>/<function>/<call>__<port>`."""

    def __init__(self, model: PreTrainedModel) -> None:
        self.model = model
        self.storage: Any = getattr(model, HOOKS, None)
        path, _, name = families.layers_path(model).rpartition(".")
        self.prefix = f"{path}.".lstrip(".").replace(".", "/")
        children = model.get_submodule(path).named_children()
        self.outside = tuple(f"{self.prefix}{other}/" for other, _ in children if other != name)
        """The place of a hook beside the layers, such as on the position bias that they share."""
        self.before = sizes(model)
        self.family = families.of(model)
        self.parts = [
            tuple(f"{self.prefix}{part.replace('.', '/')}/" for part in parts)
            for parts in (
                (self.family.attention, self.family.attention_out),
                (self.family.ffn, self.family.ffn_out),
            )
        ]

    def hook(self, path: str, index: int, port: int, holds: str) -> Any:
        """Find the hook on an input of a Linear in this layer: 1 is its weight.

        Calls are counted among the layers that have the Linear.
        """
        place = 1 if path in (*self.family.ffn_in, self.family.ffn_out) else 0
        if self.storage is None or not self.before[index][place]:
            return None
        where = f"{path.replace('.', '/')}/linear"
        call = self._each(where) * sum(1 for size in self.before[:index] if size[place])
        key = f"{self.prefix}{where}/{call}__{port}"
        if key not in self.storage.pre_hooks:
            return None
        return next((h for h in self.storage.pre_hooks[key].values() if hasattr(h, holds)), None)

    def renumber(self, kept: Sequence[int]) -> None:
        """Count the calls anew: of the layers that are left, and in them of what moves."""
        if self.storage is None:
            return
        after = dict(zip(kept, sizes(self.model), strict=True))
        for part in range(3):
            was = [index for index, size in enumerate(self.before) if (*size, 1)[part]]
            alive = [index for index in kept if (*after[index], 1)[part]]
            if was != alive:
                for kind in (self.storage.pre_hooks, self.storage.post_hooks):
                    self._move(kind, part, was, alive)

    def _move(self, kind: Any, part: int, before: list[int], after: list[int]) -> None:
        """Name the hooks on a part of the layers anew, given the layers that called it and do."""
        moved = {}
        for key in [key for key in kind if self._part(key) == part]:
            hooks = kind[key]
            del kind[key]
            head, call, tail = _call(key)
            place = head.removeprefix(self.prefix).removesuffix("/")
            each = self._each(place)
            was, alive = self._callers(place, before), self._callers(place, after)
            layer, number = was[call // each], call % each
            if layer in alive:
                moved[f"{head}{alive.index(layer) * each + number}{tail}"] = hooks
        kind.update(moved)

    def _each(self, place: str) -> int:
        """Count the calls of an operation in a layer."""
        several = self.family.products if _function(f"{place}/") == "matmul" else 1
        return dict(self.family.calls).get(place, several)

    def _callers(self, place: str, layers: list[int]) -> list[int]:
        """Return the layers that call an operation: the first one does without some."""
        without = self.family.first_differs
        return [n for n in layers if n] if place.split("/")[0] == without else layers

    def _part(self, key: str) -> int | None:
        """Say where a hook is: on heads (0), neurons (1), the rest of a layer (2), or elsewhere."""
        is_operation = "/" in key
        if not is_operation or not key.startswith(self.prefix) or key.startswith(self.outside):
            return None
        return next((part for part in (0, 1) if key.startswith(self.parts[part])), 2)


def _call(key: str) -> tuple[str, int, str]:
    """Find the number of the call in a hook's name, and what is around it."""
    found = _IN_A_HOOK.fullmatch(key) or _PLAIN.fullmatch(key)
    assert found, key
    head, call, tail = found.groups()
    return head, int(call), tail


def _function(head: str) -> str:
    """Return the operation that a hook is on, given its name up to the call."""
    return re.split("[-/]", head)[-2]


def drop_layers(model: PreTrainedModel, kept: Sequence[int]) -> None:
    """Remove whole layers; what is left is a model with fewer of them."""
    remember_layers(model, layers_before(model))
    calls = Calls(model)
    leave_layers(model, kept)
    calls.renumber(kept)


def leave_layers(model: PreTrainedModel, kept: Sequence[int]) -> None:
    """Leave these layers, each with the heads that it has, also where no head can be pruned."""
    found = families.layers(model, families.alike(model))
    heads = heads_kept(model) if families.knows(model) else None
    families.refuse_without(model, kept)
    for index in reversed(range(len(found))):
        if index not in kept:
            del found[index]
    for index, layer in enumerate(found):  # a decoder's cache is numbered by layer
        for module in layer.modules():
            if hasattr(module, "layer_idx"):
                module.layer_idx = index  # type: ignore[assignment]
    families.tell_layers(model.config, sorted(kept))
    if heads is not None:
        remember_heads(model, [heads[index] for index in kept])


def remember_layers(model: PreTrainedModel, before: int) -> None:
    setattr(model, _LAYERS, before)


def layers_before(model: PreTrainedModel) -> int:
    count: int = getattr(model, _LAYERS, model.config.num_hidden_layers)
    return count
