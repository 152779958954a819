"""The ways to store and to run one model, and the IRs for them."""

from __future__ import annotations

import contextlib
import copy
import io
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import nncf
import numpy as np
import openvino as ov
from openvino import opset13 as opset
from transformers import PreTrainedModel

from export import convert, lengths
from export.graph import buckets
from export.shapes import Shape
from jpqd import tasks
from jpqd.core import files
from jpqd.core.errors import UserError
from jpqd.core.names import IR_XML
from jpqd.data import splits
from jpqd.methods.quantize import Quantize, place
from jpqd.methods.quantize.options import AFTER_TRAINING
from jpqd.model import families, loading, size
from jpqd.recipe.contracts import Context
from jpqd.training import calibration
from jpqd.training.method import Training
from runtime_bench.backends.openvino_ir import OpenvinoIr, Precision

WHOLE = "f32"
_QUANTIZE = Quantize.model_validate(AFTER_TRAINING)
_ROWS_TOGETHER = 16
_TABLE = 2
"""The axes of a table."""
LEAST_GROUP = 8
"""The fewest weights that share a scale. Where no such group divides a width, it gets 8 bits."""


@dataclass(frozen=True)
class Variant:
    """A way to store the weights, and a way to run them."""

    name: str
    ir: str
    """The IR that it runs; two variants may share one."""
    bits: float
    """The bits of a weight, without its scales."""
    group: int | None = None
    precision: Precision = "default"
    weights_only: bool = False
    """True where activations stay whole."""

    def backend(self, folder: Path, threads: int) -> OpenvinoIr:
        return OpenvinoIr(
            path=str(folder / self.ir),
            threads=threads,
            precision=self.precision,
            weights_only=self.weights_only,
        )


def every(groups: Sequence[int]) -> list[Variant]:
    """List the variants, the whole model first."""
    found = [
        Variant(WHOLE, WHOLE, 32, precision="f32"),
        Variant("bf16", "bf16", 16, precision="bf16"),
        Variant("f16", "f16", 16, precision="f16"),
        Variant("int8 static", "int8_static", 8),
        Variant("int8 dynamic", "int8", 8),
        Variant("int8 weights", "int8", 8, weights_only=True),
    ]
    for bits in (4, 2):
        found += [
            Variant(f"int{bits} weights, g{group}", f"int{bits}_g{group}", bits, group,
                    weights_only=True)
            for group in sorted(set(groups), reverse=True)
        ]  # fmt: skip
    return found


class Factory:
    """Writes the IRs of a stage's model."""

    def __init__(self, folder: Path, ctx: Context) -> None:
        loading.quiet()
        self.ctx = ctx
        self.network = loading.load(folder)
        if size.facts(self.network).precision != "FP32":
            raise UserError(
                f"{ctx.stage}: the model of {folder.name} is quantized already. "
                "Name a stage before quantization."
            )
        self.tokenizer = loading.load_tokenizer(folder, ctx.task, ctx.cache)
        self.data = splits.prepare(ctx.task, self.tokenizer, ctx.cache, ctx.progress)
        self.kind = tasks.of_network(self.network)
        self.longest = min(families.longest(self.network, self.tokenizer), ctx.task.max_length)

    def write(self, variant: Variant, place: Path) -> None:
        """Write the IR of a variant, unless it is there."""
        folder = place / variant.ir
        if folder.exists():
            return
        self.ctx.progress.say(f"    builds {variant.ir}")
        partial = folder.with_name(folder.name + files.PARTIAL)
        files.remove(partial)
        partial.mkdir(parents=True)
        made = self._made(variant)
        convert.save(made, partial / IR_XML, f16=variant.ir == "f16")
        partial.rename(folder)

    def _made(self, variant: Variant) -> ov.Model:
        shape = Shape(most=self.longest)
        network = self._quantized() if variant.ir == "int8_static" else self.network
        graph = convert.convert(network, self.tokenizer, self.kind, shape)
        made = convert.prepare(graph, shape, None, self._padding)
        if variant.ir == "bf16":
            in_bf16(made)
        if variant.bits < 16 and variant.ir != "int8_static":
            made = _in_bits(made, variant)
        # As `shape: auto` has it: bodies for lengths where weights take little room.
        return buckets.bucketed(made, self._lengths, self._padding) if variant.bits < 16 else made

    @property
    def _padding(self) -> int:
        return int(self.network.config.pad_token_id or 0)

    @property
    def _lengths(self) -> tuple[int, ...]:
        counts = splits.column(self.data.split("train"), "length")
        return lengths.of_texts(counts, self.longest)

    def _quantized(self) -> PreTrainedModel:
        network = copy.deepcopy(self.network)
        training = Training(self.ctx, self.tokenizer, self.data, bf16=False)
        given = calibration.unpadded(training, _QUANTIZE.samples, network.device, _ROWS_TOGETHER)
        place.place(network, [features for features, _ in given], _QUANTIZE)
        return network


def in_bf16(model: ov.Model) -> None:
    """Store tables and weights of products in bf16."""
    for node in model.get_ordered_ops():
        if node.get_type_name() != "Constant" or node.get_element_type() != ov.Type.f32:
            continue
        readers = [one for one in node.output(0).get_target_inputs() if _reads_weights(one)]
        if readers and len(node.get_output_shape(0)) >= _TABLE:
            unfolded = opset.convert(_in_halves(node.data), np.float32)
            for reader in readers:
                reader.replace_source_output(unfolded.output(0))


def _reads_weights(reader: ov.Input) -> bool:
    return reader.get_node().get_type_name() in ("MatMul", "Gather")


def _in_halves(values: np.ndarray) -> ov.Node:
    """Round to the nearest bf16, which is the upper half of an f32."""
    whole = np.ascontiguousarray(values, np.float32).view(np.uint32)
    tensor = ov.Tensor(ov.Type.bf16, ov.Shape(list(values.shape)))  # one with memory of its own
    tensor.data.view(np.uint16)[:] = (whole + 0x7FFF + ((whole >> 16) & 1)) >> 16
    return opset.constant(tensor)


def _in_bits(model: ov.Model, variant: Variant) -> ov.Model:
    modes = nncf.CompressWeightsMode
    nncf.set_log_level(logging.ERROR)
    with contextlib.redirect_stdout(io.StringIO()):
        if variant.group is None:
            return nncf.compress_weights(model, mode=modes.INT8_ASYM)
        mode = modes.INT4_ASYM if variant.bits > 2 else modes.INT2_SYM
        smaller = nncf.AdvancedCompressionParameters(
            group_size_fallback_mode=nncf.GroupSizeFallbackMode.ADJUST,
            min_adjusted_group_size=LEAST_GROUP,
        )
        return nncf.compress_weights(
            model, mode=mode, group_size=variant.group, ratio=1.0, all_layers=True,
            advanced_parameters=smaller,
        )  # fmt: skip
