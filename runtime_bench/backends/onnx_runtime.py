"""ONNX Runtime in f32 or INT8, a common alternative. It needs the extra `[onnx]`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from jpqd import tasks
from jpqd.core.bench_result import Compiled
from jpqd.core.errors import UserError
from jpqd.model import pooling
from runtime_bench.backend import Backend, Session
from runtime_bench.rivals.made import made

if TYPE_CHECKING:
    import numpy as np

    from runtime_bench.backend import Request

_PRODUCTS = {
    "MatMul": "f32", "Gemm": "f32", "FusedMatMul": "f32", "FusedGemm": "f32",
    "MatMulInteger": "int8", "DynamicQuantizeMatMul": "int8", "MatMulIntegerToFloat": "int8",
    "QLinearMatMul": "int8", "QGemm": "int8",
}  # fmt: skip


class OnnxRuntime(Backend):
    """A dense model exported to ONNX; `int8` quantizes activations while it runs."""

    precision: Literal["f32", "int8", "static"] = "f32"
    calibration: str | None = None
    """The file of rows that give the ranges for `static`."""

    @property
    def title(self) -> str:
        return "ONNX Runtime"

    def open(self) -> OnnxSession:
        return OnnxSession(self)


class OnnxSession(Session):
    def __init__(self, backend: OnnxRuntime) -> None:
        if missing := [name for name in ("onnx", "onnxruntime") if find_spec(name) is None]:
            raise UserError(
                f"{' and '.join(missing)} is not installed. Install the extra: "
                "pip install '.[onnx]', or leave this arm out with --arms."
            )
        import onnxruntime

        self.backend, self.ort = backend, onnxruntime
        more = [backend.calibration] if backend.calibration else []
        self.folder = made("onnx", backend.path, backend.precision, *more)
        self.file = Path(self.folder.name) / "model.onnx"
        pooled = tasks.pools(Path(backend.path))
        self.pooling = pooling.read(Path(backend.path)) if pooled else None

    def load(self) -> None:
        """Read and optimize the graph, which is one step here."""
        self.model = self._open(self._options())
        self.names = [given.name for given in self.model.get_inputs()]

    def _options(self) -> Any:
        options = self.ort.SessionOptions()
        options.intra_op_num_threads, options.log_severity_level = self.backend.threads, 3
        return options

    def _open(self, options: Any) -> Any:
        return self.ort.InferenceSession(
            str(self.file), options, providers=["CPUExecutionProvider"]
        )

    def prepare(self, requests: Sequence[Request]) -> None:
        self.inputs = [{name: request[name] for name in self.names} for request in requests]

    def call(self, index: int) -> Any:
        answers = self.model.run(None, self.inputs[index])[0]
        if self.pooling is None:
            return answers
        return self.pooling.vectors(answers, self.inputs[index]["attention_mask"])

    def logits(self, index: int) -> np.ndarray:
        logits: np.ndarray = self.call(index)
        return logits

    def bytes(self) -> int:
        return self.file.stat().st_size

    def matmuls(self) -> dict[str, int]:
        """Count the products of the graph that the runtime has optimized."""
        import onnx

        options, path = self._options(), self.file.with_name("optimized.onnx")
        options.optimized_model_filepath = str(path)
        self._open(options)
        nodes = onnx.load(path, load_external_data=False).graph.node
        return dict(Counter(_PRODUCTS[n.op_type] for n in nodes if n.op_type in _PRODUCTS))

    def compiled(self) -> Compiled:
        return Compiled(streams=None, requests=1, threads=self.backend.threads, properties={})
