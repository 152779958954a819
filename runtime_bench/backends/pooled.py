"""A graph whose answers are vectors instead of the states of tokens."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from jpqd import tasks
from jpqd.core.errors import UserError
from jpqd.model import pooling

if TYPE_CHECKING:
    import openvino as ov
    from openvino import Node

    from jpqd.model.pooling import Pooling

_TINY = 1e-12


def pooled(model: ov.Model, folder: Path) -> ov.Model:
    """Add the pooling that a folder names to its graph, so that it is measured too."""
    found = pooling.read(folder) if tasks.pools(folder) else None
    if found is None:
        return model
    import openvino as ov
    from openvino import opset13 as opset

    names = {port.any_name: port for port in model.inputs}
    if "attention_mask" not in names or len(model.outputs) != 1:
        raise UserError(f"{folder}: an embedding model has an attention mask, and one output.")
    hidden = model.outputs[0].get_node().input_value(0)
    vectors = _one(found, hidden, names["attention_mask"].get_node())
    if found.normalize:
        vectors = opset.normalize_l2(vectors, opset.constant([1]), _TINY, "max")
    made = ov.Model([opset.result(vectors)], [port.get_node() for port in model.inputs])
    made.outputs[0].set_names({"logits"})
    return made


def _one(found: Pooling, hidden: ov.Output, mask: Node) -> Node:
    import numpy as np
    from openvino import opset13 as opset

    along = opset.constant(1)
    if found.mode == "cls":
        return opset.gather(hidden, opset.constant(0), along)
    if found.mode == "last":
        last = opset.subtract(opset.reduce_sum(mask, along, keep_dims=True), opset.constant([[1]]))
        return opset.squeeze(opset.gather(hidden, last, along, batch_dims=1), along)
    weights = opset.unsqueeze(opset.convert(mask, "f32"), opset.constant(2))
    count = opset.maximum(opset.reduce_sum(weights, along), opset.constant(np.float32(1)))
    return opset.divide(opset.reduce_sum(opset.multiply(hidden, weights), along), count)
