"""An IR on any device that OpenVINO lists."""

from __future__ import annotations

import json
import math
import time
from collections import Counter
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Literal

from jpqd.core.bench_result import Compiled
from jpqd.core.errors import UserError
from jpqd.core.names import IR_BIN, IR_XML
from jpqd.recipe.schema import Text
from runtime_bench.backend import INPUTS, Backend, Session, wait_until
from runtime_bench.backends.pooled import pooled

if TYPE_CHECKING:
    import numpy as np
    import openvino as ov

    from runtime_bench.backend import Request

_PROPERTIES = (
    "INFERENCE_PRECISION_HINT", "EXECUTION_MODE_HINT", "PERFORMANCE_HINT",
    "DYNAMIC_QUANTIZATION_GROUP_SIZE", "NUM_STREAMS", "INFERENCE_NUM_THREADS",
    "OPTIMAL_NUMBER_OF_INFER_REQUESTS", "ENABLE_CPU_PINNING", "EXECUTION_DEVICES",
)  # fmt: skip
_BUCKETS = "jpqd_buckets"
"""The operation of an IR that sends one row to a static body, and all others to the second one."""
_PRODUCTS = ("FullyConnected", "MatMul")
Precision = Literal["default", "f32", "bf16", "f16"]


class OpenvinoIr(Backend):
    """An IR. `default` leaves the precision to the device; `f32` computes like PyTorch."""

    device: Text = "CPU"
    precision: Precision = "default"
    weights_only: bool = False
    """Do not round activations where weights have few bits, as a CPU does by itself."""

    @property
    def title(self) -> str:
        return "OpenVINO" if self.device == "CPU" else f"OpenVINO {self.device}"

    def open(self) -> IrSession:
        return IrSession(self)

    def properties(self, hint: str) -> dict[str, Any]:
        """Return the properties to set, and none that the device does not know."""
        properties: dict[str, Any] = {"PERFORMANCE_HINT": hint}
        if self.device == "CPU":
            properties["INFERENCE_NUM_THREADS"] = self.threads
        if self.precision != "default":
            properties["INFERENCE_PRECISION_HINT"] = self.precision
        if self.device == "CPU" and (self.weights_only or self.precision == "f32"):
            # f32 alone leaves weights of 8 bits multiplied with activations of 8 bits
            properties["DYNAMIC_QUANTIZATION_GROUP_SIZE"] = 0
        return properties


class IrSession(Session):
    def __init__(self, backend: OpenvinoIr) -> None:
        import openvino as ov

        self.backend, self.core = backend, ov.Core()
        self.queue: ov.AsyncInferQueue | None = None

    def load(self) -> None:
        folder = Path(self.backend.path)
        for name in (IR_XML, IR_BIN):
            if not (folder / name).is_file():
                raise UserError(f"{folder / name} is missing. Export the IR again.")
        try:
            self.model = pooled(self.core.read_model(folder / IR_XML), folder)
        except RuntimeError as error:
            raise UserError(
                f"{folder / IR_XML} cannot be read with its .bin: {_reason(error)}. "
                "Export it again."
            ) from error
        self._check_inputs()

    def _check_inputs(self) -> None:
        self.inputs = [port.any_name for port in self.model.inputs]
        types = {port.element_type.get_type_name() for port in self.model.inputs}
        if not {*self.inputs} <= {*INPUTS} or "input_ids" not in self.inputs or types - {"i64"}:
            wanted = ", ".join(f"{p.any_name} ({p.element_type})" for p in self.model.inputs)
            raise UserError(
                f"{Path(self.backend.path) / IR_XML}: its inputs are {wanted}, but the benchmark "
                f"feeds {', '.join(INPUTS)} (int64). Export the model without its tokenizer, or "
                "leave it out with --arms."
            )

    def compile(self) -> bool:
        self.latency = self._compile("LATENCY")
        self.request = self.latency.create_infer_request()
        return True

    def _compile(self, hint: str, model: ov.Model | None = None, **more: Any) -> ov.CompiledModel:
        options = {**self.backend.properties(hint), **more}
        return self.core.compile_model(model or self.model, self.backend.device, options)

    @cached_property
    def plain(self) -> ov.Model:
        """The IR without static bodies for lengths: every request takes the body of any shape."""
        from openvino import opset13

        plain = self.model.clone()
        for node in _choices(plain):
            never = opset13.constant(False)
            node.input(0).replace_source_output(never.output(0))
        return plain

    def compile_cached(self) -> float | None:
        with TemporaryDirectory() as folder:
            self._compile("LATENCY", CACHE_DIR=folder)
            begun = time.perf_counter()
            compiled = self._compile("LATENCY", CACHE_DIR=folder)
            seconds = time.perf_counter() - begun
        return seconds if compiled.get_property("LOADED_FROM_CACHE") else None

    def prepare(self, requests: Sequence[Request]) -> None:
        import openvino as ov

        for request in requests:
            self._check_shape(request)
        self.tensors = [
            {name: ov.Tensor(request[name], shared_memory=True) for name in self.inputs}
            for request in requests
        ]
        self.items = [list(tensors.items()) for tensors in self.tensors]

    def fitted(self, request: Request) -> Request:
        """Fill a request up to a static IR's rows and tokens: rows are repeated, tokens padded."""
        import numpy as np

        rows, tokens = self.model.input("input_ids").partial_shape
        if rows.is_static and rows.get_length() > len(request["input_ids"]):
            more = rows.get_length() - len(request["input_ids"])
            request = {
                name: np.pad(values, ((0, more), (0, 0)), mode="edge")
                for name, values in request.items()
            }
        length = request["input_ids"].shape[1]
        return self.filled(request, max(0, tokens.get_length() - length if tokens.is_static else 0))

    def filled(self, request: Request, more: int) -> Request:
        """Add so many tokens of padding, of the kind that positions need."""
        import numpy as np

        fill = dict.fromkeys(request, 0) | {"input_ids": self._padding()}
        return {
            name: np.pad(values, ((0, 0), (0, more)), constant_values=fill[name])
            for name, values in request.items()
        }

    def _padding(self) -> int:
        config = Path(self.backend.path) / "config.json"
        return (
            int(json.loads(config.read_text()).get("pad_token_id") or 0) if config.is_file() else 0
        )

    def _check_shape(self, request: Request) -> None:
        import openvino as ov

        for port in self.model.inputs:
            given = request[port.any_name].shape
            if not port.partial_shape.compatible(ov.PartialShape(list(given))):
                raise UserError(
                    f"{Path(self.backend.path) / IR_XML}: its {port.any_name} is "
                    f"{port.partial_shape}, but the requests are {list(given)}. "
                    "Give a --length and a --batch that fit, or export it with dynamic shapes."
                )

    def call(self, index: int) -> Any:
        request = self.request
        for name, tensor in self.items[index]:
            request.set_tensor(name, tensor)
        request.infer()

    def logits(self, index: int) -> np.ndarray:
        self.call(index)
        logits: np.ndarray = self.request.get_output_tensor(0).data.copy()
        return logits

    def matmuls(self) -> dict[str, int]:
        products: Counter[str] = Counter()
        inside = _choices(self.model)  # the runtime's graph shows no operation inside of them
        compiled = self._compile("LATENCY", self.plain) if inside else self.latency
        for node in compiled.get_runtime_model().get_ops():
            facts = node.get_rt_info()
            if _text(facts, "layerType") in _PRODUCTS:
                products[_text(facts, "runtimePrecision")] += 1
        return dict(products)

    def compiled(self) -> Compiled:
        return self._described(self.latency, 1)

    def throughput_properties(self) -> Compiled:
        assert self.queue is not None
        return self._described(self.throughput, len(self.queue))

    def _described(self, compiled: ov.CompiledModel, requests: int) -> Compiled:
        known = compiled.get_property("SUPPORTED_PROPERTIES")
        properties = {
            name: _plain(compiled.get_property(name)) for name in _PROPERTIES if name in known
        }
        streams = properties.get("NUM_STREAMS", "")
        return Compiled(
            streams=int(streams) if streams.isdigit() else None,
            requests=requests,
            threads=int(properties.get("INFERENCE_NUM_THREADS", self.backend.threads)),
            properties=properties,
        )

    def bytes(self) -> int:
        return sum((Path(self.backend.path) / name).stat().st_size for name in (IR_XML, IR_BIN))

    def parameters(self) -> int:
        """Count the elements of constants that are weights, and no shape or axis."""
        graphs = [self.model, *(node.get_function(1) for node in _choices(self.model))]
        every = (op for graph in graphs for op in graph.get_ops())
        constants = (op for op in every if op.get_type_name() == "Constant")
        ports = [op.output(0) for op in constants]
        return sum(
            math.prod(port.get_shape()) for port in ports if port.get_element_type() in _weights()
        )

    def open_queue(self) -> None:
        import openvino as ov

        if self.queue is None:
            self.throughput = self._compile("THROUGHPUT")
            self.queue = ov.AsyncInferQueue(
                self.throughput, self.throughput.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS")
            )

    def burst(self, indices: Sequence[int]) -> None:
        assert self.queue is not None
        for index in indices:
            self.queue.start_async(self.tensors[index], share_inputs=True)
        self.queue.wait_all()

    def serve(self, indices: Sequence[int], due: list[int], done: list[int]) -> None:
        assert self.queue is not None

        def note(_: Any, slot: int) -> None:
            done[slot] = time.perf_counter_ns()

        self.queue.set_callback(note)
        for slot, index in enumerate(indices):
            due[slot] = wait_until(due[slot])
            self.queue.start_async(self.tensors[index], slot, share_inputs=True)
        self.queue.wait_all()
        self.queue.set_callback(lambda *_: None)


def _choices(model: ov.Model) -> list[Any]:
    return [node for node in model.get_ops() if node.get_friendly_name() == _BUCKETS]


def _weights() -> list[Any]:
    import openvino as ov

    types = ov.Type
    return [types.f32, types.f16, types.bf16, types.i8, types.u8, types.i4, types.u4]


def _text(facts: Any, name: str) -> str:
    return str(facts[name].astype(str)) if name in facts else ""


def _plain(value: Any) -> str:
    text = value.get_type_name() if hasattr(value, "get_type_name") else str(value)
    return str(text).rpartition(".")[2] if text.startswith("ExecutionMode.") else str(text)


def _reason(error: Exception) -> str:
    """Return the last line of OpenVINO's error: the others are places in its own source."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1].rstrip(".!") if lines else type(error).__name__
