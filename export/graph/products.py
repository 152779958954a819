"""Query and key as one product: fewer, larger operations give the same answers sooner.

Where both read the same tensor and both are quantized behind their bias, their INT8 weights, biases
and quantizers are put one below the other. The value has no quantizer there and stays by itself.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import numpy as np
import openvino as ov
from openvino import Node
from openvino import opset13 as opset

from export.graph import nodes

_LAST = 2
"""The axis of features: rows, tokens, features."""


@dataclass(frozen=True)
class _Product:
    """A product with INT8 weights, its bias and the quantizer behind."""

    product: Node
    levels: np.ndarray
    scales: np.ndarray
    bias: np.ndarray
    quantizer: Node

    @property
    def width(self) -> int:
        return len(self.levels)

    def bound(self, place: int) -> np.ndarray:
        """Return a bound of the quantizer, once for each feature."""
        value = nodes.source(self.quantizer, place).data.reshape(-1)[0]
        return np.full((1, 1, self.width), value, np.float32)


def join(model: ov.Model) -> None:
    """Join all products that can be."""
    alike: dict[tuple[str, int], list[_Product]] = defaultdict(list)
    for node in model.get_ordered_ops():
        if node.get_type_name() == "MatMul" and (found := _described(node)):
            source = node.input_value(0)
            key = f"{source.get_node().get_friendly_name()}:{source.get_index()}"
            alike[key, int(found.quantizer.get_attributes()["levels"])].append(found)
    for (_, levels), products in alike.items():
        if len(products) > 1:
            _join(products, levels)


def _described(product: Node) -> _Product | None:
    """Return the parts of a product; None where something is not as it has to be."""
    bias, quantizer = _only_reader(product, "Add"), None
    if bias is not None:
        quantizer = _only_reader(bias, "FakeQuantize")
    weights = nodes.stored(nodes.source(product, 1))
    turned = product.get_attributes() == {"transpose_a": False, "transpose_b": True}
    if bias is None or quantizer is None or weights is None or not turned:
        return None
    constants = [node for node in (nodes.source(bias, 0), nodes.source(bias, 1)) if _is_row(node)]
    bounds = [nodes.source(quantizer, place) for place in range(1, 5)]
    if not constants or any(not _is_number(bound) for bound in bounds):
        return None
    levels, scales = weights
    return _Product(product, levels, scales, constants[0].data.reshape(1, 1, -1), quantizer)


def _only_reader(node: Node, kind: str) -> Node | None:
    readers = [target.get_node() for target in node.output(0).get_target_inputs()]
    return readers[0] if len(readers) == 1 and readers[0].get_type_name() == kind else None


def _is_row(node: Node) -> bool:
    return node.get_type_name() == "Constant" and bool(node.data.size == node.data.shape[-1])


def _is_number(node: Node) -> bool:
    return node.get_type_name() == "Constant" and bool(node.data.size == 1)


def _join(products: list[_Product], levels: int) -> None:
    """Put one product in the place of several, and let their readers read its parts."""
    stored, scales = (
        np.concatenate([one.levels for one in products]),
        np.concatenate([one.scales for one in products]),
    )
    weights = opset.multiply(opset.convert(opset.constant(stored), "f32"), opset.constant(scales))
    product = opset.matmul(products[0].product.input_value(0), weights, False, True)
    bias = np.concatenate([one.bias for one in products], axis=-1)
    bounds = [np.concatenate([p.bound(n) for p in products], axis=-1) for n in range(1, 5)]
    quantized = opset.fake_quantize(opset.add(product, bias), *bounds, levels)
    parts = opset.variadic_split(
        quantized, nodes.whole(_LAST), nodes.whole([one.width for one in products])
    )
    for number, one in enumerate(products):
        for reader in one.quantizer.output(0).get_target_inputs():
            reader.replace_source_output(parts.output(number))
