"""The lookup of words: its table stays in few bits, on disk and while the model runs.

The runtime unfolds a compressed table to f32 when it compiles a model with quantizers. Here rows
are looked up first and unfolded then, so the table stays as it is stored.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import openvino as ov
from openvino import Node
from openvino import opset13 as opset

from export.graph import nodes
from jpqd.core.errors import UserError

Bits = Literal["int8", "int4"]
GROUP = 64
"""The number of values of a row that share a scale in 4 bits, where the row's length allows it."""
NAME = "word_embedding"
"""The node that holds the rows which were looked up."""
_TABLE = 2
"""The axes of a table."""


def compress(model: ov.Model, bits: Bits | None) -> None:
    """Keep the table in these bits; None: as the model has it."""
    lookup = next((node for node in model.get_ordered_ops() if _looks_words_up(node)), None)
    if lookup is None:
        if bits:
            raise UserError(
                "the graph of this model looks no words up in a table, so the bits of the "
                "embedding cannot be chosen. Leave `embedding` out."
            )
        return
    table = nodes.source(lookup, 0)
    rows: Node = lookup
    if bits == "int4":
        rows = _in_4_bits(lookup, nodes.values(table))
    elif stored := nodes.stored(table):
        rows = _in_8_bits(lookup, *stored)
    elif bits == "int8":
        rows = _in_8_bits(lookup, *_rounded(nodes.values(table), 127))
    if rows is not lookup:
        nodes.replace(lookup, rows)
    rows.set_friendly_name(NAME)


def _looks_words_up(node: Node) -> bool:
    """Say whether a node takes rows of a table by the ids of the request themselves."""
    if node.get_type_name() != "Gather" or len(node.input(0).get_partial_shape()) != _TABLE:
        return False
    ids = nodes.source(node, 1)
    if ids.get_type_name() == "Convert":
        ids = nodes.source(ids, 0)
    given = ids.get_type_name() == "Parameter" and "input_ids" in ids.output(0).get_names()
    return given and bool(node.input(0).get_partial_shape().is_static)


def _rounded(
    table: np.ndarray, most: int, kind: type = np.float32
) -> tuple[np.ndarray, np.ndarray]:
    """Round rows to whole numbers up to `most`, each row with a scale of its own."""
    scale = (np.abs(table).max(axis=-1, keepdims=True) / most).astype(kind)
    scale[scale == 0] = 1
    levels = np.round(table / scale.astype(np.float32))
    return np.clip(levels, -most, most).astype(np.int8), scale


def _in_8_bits(lookup: Node, levels: np.ndarray, scales: np.ndarray) -> Node:
    ids, axis = lookup.input(1).get_source_output(), lookup.input(2).get_source_output()
    rows = opset.convert(opset.gather(opset.constant(levels), ids, axis), "f32")
    return opset.multiply(rows, opset.gather(opset.constant(scales), ids, axis))


def _in_4_bits(lookup: Node, table: np.ndarray) -> Node:
    """Pack two values into a byte: the first half of a row in the upper bits, the other below.

    Plain arithmetic unpacks them: every device has it, and no plugin unfolds the table for it.
    """
    count, width = table.shape
    group = GROUP if width % GROUP == 0 else width
    levels, scales = _rounded(table.reshape(count, -1, group), 7, np.float16)
    shifted = (levels.reshape(count, width) + 8).astype(np.uint8)
    half = width // 2
    packed = shifted[:, :half] * 16 + shifted[:, half:]
    ids, axis = lookup.input(1).get_source_output(), lookup.input(2).get_source_output()
    pairs = opset.convert(opset.gather(opset.constant(packed), ids, axis), "f32")
    upper = opset.floor(opset.multiply(pairs, np.float32(1 / 16)))
    lower = opset.subtract(pairs, opset.multiply(upper, np.float32(16)))
    flat = opset.subtract(opset.concat([upper, lower], -1), np.float32(8))
    scale = opset.convert(opset.gather(opset.constant(scales), ids, axis), "f32")
    grouped = opset.reshape(flat, nodes.whole([0, 0, width // group, group]), special_zero=True)
    scaled = opset.multiply(grouped, scale)
    return opset.reshape(scaled, nodes.whole([0, 0, width]), special_zero=True)
