"""One IR with inputs of any length that is static inside.

A plugin prepares every operation again when the length of a request changes; for a small model this
takes longer than the request itself. Here nested `If` operations choose one of a few bodies by the
length of the request. A body pads ids, mask and embeddings to a length of its own, and everything
behind is static. One row at a time goes this way; batches and longer requests take a body of any
shape.

The word embedding is looked up once, before the choice, so that its table is there once.
`save_model` writes equal constants once, so the file holds the weights once.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import openvino as ov
from openvino import Node, Type
from openvino import opset13 as opset

from export.graph import embedding, nodes

NAME = "jpqd_buckets"
"""The operation that sends one row to a static body, and all others to the one of any shape."""

Body = tuple[ov.Model, list[Node]]
"""A branch and its parameters: the inputs of the model, then the embeddings."""


def bucketed(model: ov.Model, lengths: Sequence[int], padding: int) -> ov.Model:
    """Return the model with a static body for each length, and the answers that it gave before.

    Positions may count from the padding token, so requests are filled up with that.
    """
    outer = model.clone()
    parts = _Parts(outer, padding)
    inputs = [port.get_node() for port in outer.inputs]
    rows, tokens = nodes.size(inputs[0], 0), nodes.size(inputs[0], 1)
    short = opset.less_equal(tokens, nodes.whole(lengths[-1]))
    single = opset.logical_and(opset.equal(rows, nodes.whole(1)), short)
    chosen = _choose(single, [*inputs, parts.rows], parts.tree(sorted(lengths)), parts.body())
    chosen.get_node().set_friendly_name(NAME)
    made = ov.Model([opset.result(chosen)], inputs, model.get_name())
    made.outputs[0].set_names(model.outputs[0].get_names())
    return made


def any_shape(model: ov.Model) -> ov.Model:
    """Return a model that never takes a static body."""
    plain = model.clone()
    for node in plain.get_ops():
        if node.get_friendly_name() == NAME:
            node.input(0).replace_source_output(opset.constant(np.array(False)).output(0))
    return plain


class _Parts:
    """Makes bodies of one model."""

    def __init__(self, model: ov.Model, padding: int) -> None:
        self.model, self.padding = model, padding
        self.names = [port.get_any_name() for port in model.inputs]
        self.rows = embedding.find(model)
        self.width = self.rows.output(0).get_partial_shape()[2].get_length()

    def tree(self, lengths: Sequence[int]) -> Body:
        """Return a body for each length, behind choices between two halves."""
        if len(lengths) == 1:
            return self.body(lengths[0])
        half = len(lengths) // 2
        parameters = self._parameters()
        short = opset.less_equal(nodes.size(parameters[0], 1), nodes.whole(lengths[half - 1]))
        branches = self.tree(lengths[:half]), self.tree(lengths[half:])
        chosen = _choose(short, parameters, *branches)
        return ov.Model([opset.result(chosen)], parameters, "choice"), parameters

    def body(self, length: int | None = None) -> Body:
        """Return the model behind the lookup, for one row of this length, or for any shape."""
        inner, parameters = self.model.clone(), self._parameters()
        if length:
            inner.reshape({port: [1, length] for port in inner.inputs})
        given = {port.get_any_name(): port.get_node() for port in inner.inputs}
        for name, parameter in zip(self.names, parameters, strict=False):
            fill = self.padding if name == "input_ids" else 0
            nodes.replace(given[name], self._padded(parameter, length, fill))
        nodes.replace(embedding.find(inner), self._padded(parameters[-1], length))
        answer = inner.get_results()[0].input_value(0)
        if length:
            _forget_names(inner)
        if length and len(answer.get_partial_shape()) == 3:  # an answer for each token
            answer = _first(answer, nodes.size(parameters[0], 1)).output(0)
        return ov.Model([opset.result(answer)], parameters, "body"), parameters

    def _parameters(self) -> list[Node]:
        ids = [opset.parameter([-1, -1], Type.i64, name=name) for name in self.names]
        return [*ids, opset.parameter([-1, -1, self.width], Type.f32, name="embeddings")]

    def _padded(self, given: Node, length: int | None, fill: float = 0) -> Node:
        """Fill up to the length of a body; the Reshape tells the plugin that it is constant."""
        if not length:
            return given
        kind = given.get_element_type().to_dtype()
        rest = list(given.get_output_partial_shape(0))[2:]
        none = [nodes.whole([0])] * len(rest)
        missing = opset.subtract(nodes.whole(length), nodes.size(given, 1))
        ends = opset.concat(
            [nodes.whole([0]), opset.unsqueeze(missing, nodes.whole([0])), *none], 0
        )
        starts = nodes.whole([0] * (2 + len(rest)))
        full = opset.pad(given, starts, ends, "constant", opset.constant(np.array(fill, kind)))
        shape = [1, length, *(size.get_length() for size in rest)]
        return opset.reshape(full, nodes.whole(shape), special_zero=False)


def _choose(condition: Node, given: Sequence[Node], then: Body, other: Body) -> ov.Output:
    node = opset.if_op(condition.output(0))
    node.set_then_body(then[0])
    node.set_else_body(other[0])
    for source, inside, beside in zip(given, then[1], other[1], strict=True):
        node.set_input(source.output(0), inside, beside)
    return node.set_output(then[0].get_results()[0], other[0].get_results()[0])


def _forget_names(body: ov.Model) -> None:
    """Number the nodes: the body of any shape has their names, which are a tenth of the file."""
    for number, node in enumerate(body.get_ops()):
        node.set_friendly_name(str(number))
        for port in node.outputs():
            port.set_names(set())


def _first(answer: ov.Output, length: Node) -> Node:
    """Return the answers for the first tokens: the others are padding."""
    ends = opset.unsqueeze(length, nodes.whole([0]))
    return opset.slice(answer, nodes.whole([0]), ends, nodes.whole([1]), nodes.whole([1]))
