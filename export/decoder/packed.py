"""Rounded weights as an IR stores them: two numbers in a byte, or one, beside their scales."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import openvino as ov
import torch
from nncf.torch.function_hook import get_hook_storage
from nncf.torch.quantization import layers
from openvino import opset13 as opset
from torch import Tensor, nn
from transformers import PreTrainedModel

from export.graph import nodes
from export.names import MODEL
from jpqd.model import rounded, shrink
from jpqd.model.rounded import Rounded

_FEW = 4


def store(folder: Path, left: list[tuple[Tensor, Rounded]]) -> None:
    """Store in 8 bits what the exporter saw as it is, on the grids that the weights lie on."""
    model = ov.Core().read_model(folder / MODEL)
    for weight, grid in left:
        values = weight.numpy()
        for node in model.get_ops():
            if _holds(node, values):
                nodes.replace(node, _unpacking(weight, grid))
    ov.save_model(model, folder / "packed.xml", compress_to_fp16=False)
    del model  # it reads from the file that is replaced
    for end in (".xml", ".bin"):
        (folder / "packed.xml").with_suffix(end).replace((folder / MODEL).with_suffix(end))


def _holds(node: ov.Node, values: np.ndarray) -> bool:
    if node.get_type_name() != "Constant" or list(node.shape) != list(values.shape):
        return False
    return np.array_equal(node.data, values)


def _unpacking(weight: Tensor, grid: Rounded) -> ov.Node:
    whole = np.int8 if grid.lowest else np.uint8
    numbers = grid.numbers(weight).numpy().astype(whole)
    node = opset.convert(opset.constant(numbers), np.float32)
    if not grid.lowest:
        node = opset.subtract(node, opset.convert(opset.constant(grid.zero.numpy()), np.float32))
    node = opset.multiply(node, opset.convert(opset.constant(grid.scale.numpy()), np.float32))
    return opset.reshape(node, list(weight.shape), special_zero=False)


@contextlib.contextmanager
def weights(network: PreTrainedModel) -> Iterator[list[tuple[Tensor, Rounded]]]:
    """Show the exporter packed weights, with NNCF's own way to unpack them; give those left.

    A module that reads more of its weight than its values, as Gemma's table of words does, would
    have it unpacked in the IR.
    """
    every = list(rounded.on(network)) if hasattr(network, shrink.HOOKS) else []
    found = [one for one in every if one[2].bits == _FEW or _is_plain(network, one[1])]
    before: list[tuple[str, nn.Parameter, Tensor, Rounded]] = []
    try:
        for name, path, grid in found:
            weight = network.get_parameter(path)
            weight.requires_grad_(False)
            unpack, data = _packed(weight, grid)
            before.append((name, weight, weight.data, grid))
            weight.data = data
            _exchange(network, name, unpack)
        yield [
            (network.get_parameter(path).detach(), grid)
            for name, path, grid in every
            if (name, path, grid) not in found
        ]
    finally:
        for name, weight, data, grid in before:
            weight.data = data
            _exchange(network, name, grid)


def _is_plain(network: PreTrainedModel, path: str) -> bool:
    return type(network.get_submodule(path.rpartition(".")[0])) in (nn.Embedding, nn.Linear)


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
