"""Small helpers to build and change a graph of OpenVINO operations."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import openvino as ov
from openvino import Node
from openvino import opset13 as opset


def whole(value: int | Sequence[int]) -> Node:
    """Return a constant of whole numbers."""
    return opset.constant(np.array(value, np.int64))


def size(node: Node, axis: int) -> Node:
    """Return the length of one axis, as a number without axes."""
    return opset.gather(opset.shape_of(node, "i64"), whole(axis), whole(0))


def replace(old: Node, new: Node) -> None:
    """Let everything that reads one node read another."""
    for target in old.output(0).get_target_inputs():
        target.replace_source_output(new.output(0))


def source(node: Node, place: int) -> Node:
    """Return the node that an input reads."""
    return node.input(place).get_source_output().get_node()


def stored(table: Node) -> tuple[np.ndarray, np.ndarray] | None:
    """Return whole numbers and a scale for each row, where the table is stored so."""
    if table.get_type_name() != "Multiply":
        return None
    unfolded, scale = source(table, 0), source(table, 1)
    if unfolded.get_type_name() != "Convert" or scale.get_type_name() != "Constant":
        return None
    levels = source(unfolded, 0)
    if levels.get_type_name() != "Constant" or levels.get_element_type() != ov.Type.i8:
        return None
    scales = np.array(scale.data, np.float32)
    return levels.data.copy(), np.broadcast_to(scales, (levels.data.shape[0], 1)).copy()


def values(node: Node) -> np.ndarray:
    """Return what a node without inputs of the model computes."""
    model = ov.Model([opset.result(node)], [], "values")
    compiled = ov.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    found: np.ndarray = compiled({})[0]
    return found.copy()
