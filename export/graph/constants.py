"""Equal constants of a graph become one: fewer lines in the file, the same answers."""

from __future__ import annotations

import openvino as ov
from openvino import Node

_SMALL = 64
"""Bytes. Larger ones are weights, which a file holds once however often they are named."""


def share(model: ov.Model) -> None:
    """Let every small constant that equals an earlier one be that one."""
    seen: dict[tuple[str, str, bytes], Node] = {}
    for node in model.get_ordered_ops():
        if node.get_type_name() != "Constant" or node.get_byte_size() > _SMALL:
            continue
        shape, kind = str(node.get_output_shape(0)), str(node.get_element_type())
        first = seen.setdefault((shape, kind, node.data.tobytes()), node)
        if first is not node:
            for target in node.output(0).get_target_inputs():
                target.replace_source_output(first.output(0))
