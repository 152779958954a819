"""One IR with inputs of any length that is static inside.

A plugin prepares every operation again when the length of a request changes; for a small model this
takes longer than the request itself. Here nested `If` operations choose one of a few bodies by the
length of the request. A body pads ids and masks to a length of its own, and everything behind is
static. One row at a time goes this way; batches and longer requests take a body of any shape.

`save_model` writes equal constants once, and the runtime maps them from there: table and weights
are there once, in the file and in memory.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import openvino as ov
from openvino import Node, Type
from openvino import opset13 as opset

from export.graph import nodes

NAME = "jpqd_buckets"
"""The operation that sends one row to a static body, and all others to the one of any shape."""

_HEADED = 4
"""The axes of a tensor with heads: rows, heads, tokens, features of a head."""

Body = tuple[ov.Model, list[Node]]
"""A branch and its parameters: the inputs of the model."""


def bucketed(model: ov.Model, lengths: Sequence[int], padding: int) -> ov.Model:
    """Return the model with a static body for each length, and the answers that it gave before.

    Positions may count from the padding token, so requests are filled up with that.
    """
    outer = model.clone()
    parts = _Parts(outer, padding)
    lengths = sorted({parts.unlike_heads(length) for length in lengths})
    inputs = [port.get_node() for port in outer.inputs]
    rows, tokens = nodes.size(inputs[0], 0), nodes.size(inputs[0], 1)
    short = opset.less_equal(tokens, nodes.whole(lengths[-1]))
    single = opset.logical_and(opset.equal(rows, nodes.whole(1)), short)
    chosen = _choose(single, inputs, parts.tree(lengths), parts.any_shape())
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

    def unlike_heads(self, length: int) -> int:
        """Return the length, or the next one that is no layer's number of heads.

        Where both are the same, the CPU plugin of 2026.4 takes one axis for the other in an INT8
        body, and answers wrongly.
        """
        inner = self.model.clone()
        while True:
            inner.reshape({port: [1, length] for port in inner.inputs})
            shapes = (port.get_partial_shape() for op in inner.get_ops() for port in op.outputs())
            static = (shape.to_shape() for shape in shapes if shape.is_static)
            if not any(len(s) == _HEADED and s[1] == s[2] == length for s in static):
                return length
            length += 1

    def tree(self, lengths: Sequence[int]) -> Body:
        """Return a body for each length, behind choices between two halves."""
        if len(lengths) == 1:
            return self.padded(lengths[0])
        half = len(lengths) // 2
        parameters = self._parameters(-1)
        short = opset.less_equal(nodes.size(parameters[0], 1), nodes.whole(lengths[half - 1]))
        branches = self.tree(lengths[:half]), self.tree(lengths[half:])
        chosen = _choose(short, parameters, *branches)
        return ov.Model([opset.result(chosen)], parameters, "choice"), parameters

    def padded(self, length: int) -> Body:
        """Return a body that fills a row up to a length, and then runs a static one.

        The static one stands behind an `If` of its own, which always takes it: a graph in which
        all shapes are known runs without what the plugin does for the others.
        """
        parameters = self._parameters(-1)
        tokens = nodes.size(parameters[0], 1)
        full = [
            _padded(given, length, tokens, self.padding if name == "input_ids" else 0)
            for name, given in zip(self.names, parameters, strict=True)
        ]
        static, never = self.static(length), self.never(length)
        answer = _choose(opset.less_equal(tokens, nodes.whole(length)), full, static, never)
        if len(answer.get_partial_shape()) == 3:  # an answer for each token
            answer = _first(answer, tokens).output(0)
        return ov.Model([opset.result(answer)], parameters, "padded"), parameters

    def static(self, length: int) -> Body:
        """Return the model for one row of this length."""
        inner = self.model.clone()
        inner.reshape({port: [1, length] for port in inner.inputs})
        body, parameters = self._behind(inner, self._parameters(length))
        _forget_names(body)
        return body, parameters

    def never(self, length: int) -> Body:
        """Return what stands where an `If` must have another branch."""
        inner = self.model.clone()
        inner.reshape({port: [1, length] for port in inner.inputs})
        nothing = opset.constant(np.zeros(inner.outputs[0].shape, np.float32))
        parameters = self._parameters(length)
        return ov.Model([opset.result(nothing)], parameters, "never"), parameters

    def any_shape(self) -> Body:
        return self._behind(self.model.clone(), self._parameters(-1))

    def _behind(self, inner: ov.Model, parameters: list[Node]) -> Body:
        """Return a model that reads these parameters."""
        given = {port.get_any_name(): port.get_node() for port in inner.inputs}
        for name, parameter in zip(self.names, parameters, strict=True):
            nodes.replace(given[name], parameter)
        answer = inner.get_results()[0].input_value(0)
        return ov.Model([opset.result(answer)], parameters, "body"), parameters

    def _parameters(self, length: int) -> list[Node]:
        """Return the inputs for one row of a length, or, -1, for any shape."""
        shape = [1 if length > 0 else -1, length]
        return [opset.parameter(shape, Type.i64, name=name) for name in self.names]


def _padded(given: Node, length: int, tokens: Node, fill: int) -> Node:
    """Fill up to a length; the Reshape tells the plugin that it is constant."""
    missing = opset.unsqueeze(opset.subtract(nodes.whole(length), tokens), nodes.whole([0]))
    ends = opset.concat([nodes.whole([0]), missing], 0)
    full = opset.pad(given, nodes.whole([0, 0]), ends, "constant", nodes.whole(fill))
    return opset.reshape(full, nodes.whole([1, length]), special_zero=False)


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
