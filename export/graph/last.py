"""Logits of the last tokens only.

The product with the table of words is most of the work of a small decoder that reads a prompt.
"""

from __future__ import annotations

import openvino as ov
from openvino import opset13


def cut(model: ov.Model, start: ov.Output) -> None:
    """Cut the input of the last product down to the tokens from this number on."""
    node = model.output("logits").get_node().input_value(0).get_node()
    while node.get_type_name() != "MatMul":
        node = node.input_value(0).get_node()
    end, one = opset13.constant([2**31 - 1]), opset13.constant([1])
    last = opset13.slice(node.input_value(0), start, end, one, one)
    node.input(0).replace_source_output(last.output(0))
    model.validate_nodes_and_infer_types()
