"""Rounded weights as an IR stores them: two numbers in a byte, or one, beside their scales."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from nncf.torch.function_hook import get_hook_storage
from nncf.torch.quantization import layers
from torch import Tensor, nn
from transformers import PreTrainedModel

from jpqd.model import rounded, shrink
from jpqd.model.rounded import Rounded


@contextmanager
def weights(network: PreTrainedModel) -> Iterator[None]:
    """Show the exporter packed weights, with NNCF's own way to unpack them."""
    found = list(rounded.on(network)) if hasattr(network, shrink.HOOKS) else []
    before: list[tuple[str, nn.Parameter, Tensor, Rounded]] = []
    try:
        for name, path, grid in found:
            weight = network.get_parameter(path)
            weight.requires_grad_(False)
            unpack, data = _packed(weight, grid)
            before.append((name, weight, weight.data, grid))
            weight.data = data
            _exchange(network, name, unpack)
        yield
    finally:
        for name, weight, data, grid in before:
            weight.data = data
            _exchange(network, name, grid)


def _exchange(network: PreTrainedModel, name: str, hook: nn.Module) -> None:
    storage = get_hook_storage(network)
    storage.delete_hook(name)
    storage.insert_hook_by_name(name, hook)


def _packed(weight: Tensor, grid: Rounded) -> tuple[nn.Module, Tensor]:
    whole = torch.int8 if grid.lowest else torch.uint8
    numbers, zero = grid.numbers(weight).to(whole), grid.zero.to(whole)
    shapes = {"compressed_weight_shape": numbers.shape, "result_shape": weight.shape}
    kept = {"scale": grid.scale, "result_dtype": weight.dtype}
    unpack: layers.BaseWeightsDecompressor
    if grid.bits == 8:
        unpack = (
            layers.INT8SymmetricWeightsDecompressor(**kept)
            if grid.lowest
            else layers.INT8AsymmetricWeightsDecompressor(zero_point=zero, **kept)
        )
    elif grid.lowest:
        unpack = layers.INT4SymmetricWeightsDecompressor(**kept, **shapes)
    else:
        unpack = layers.INT4AsymmetricWeightsDecompressor(zero_point=zero, **kept, **shapes)
    return unpack, unpack.pack_weight(numbers)
