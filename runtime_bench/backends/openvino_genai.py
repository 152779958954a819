"""A decoder's IR that writes, by OpenVINO GenAI: what serves language models."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Any

from jpqd.core.errors import UserError
from runtime_bench.backends.openvino_ir import OpenvinoIr
from runtime_bench.backends.openvino_writer import OpenvinoWriterSession

if TYPE_CHECKING:
    import numpy as np

_ALL = 2**31 - 1


def is_installed() -> bool:
    return importlib.util.find_spec("openvino_genai") is not None


class OpenvinoGenai(OpenvinoIr):
    """A pipeline that does not remember prompts: a remembered one would have no first token."""

    @property
    def title(self) -> str:
        return "GenAI" if self.device == "CPU" else f"GenAI {self.device}"

    def open(self) -> GenaiSession:
        return GenaiSession(self)


class GenaiSession(OpenvinoWriterSession):
    def compile(self) -> bool:
        import openvino_genai as genai

        scheduler = genai.SchedulerConfig()
        scheduler.enable_prefix_caching = False
        scheduler.max_num_batched_tokens = _ALL  # as by default: prompts are read in one piece
        properties = self.backend.properties("LATENCY")
        del properties["PERFORMANCE_HINT"]
        self.genai, self.model = genai, None
        try:
            self.pipeline = genai.LLMPipeline(
                self.backend.path, self.backend.device, scheduler_config=scheduler, **properties
            )
        except RuntimeError as error:
            reason = str(error).strip().splitlines()[-1]
            raise UserError(f"{self.backend.path}: GenAI cannot open it: {reason}") from error
        return True

    def compile_cached(self) -> float | None:
        return None

    def call(self, index: int) -> np.ndarray:
        import numpy as np
        import openvino as ov

        ids, self.count = self.prompts[index]
        how = self.genai.GenerationConfig()
        how.max_new_tokens, how.ignore_eos, how.do_sample = self.count, True, False
        given = self.genai.TokenizedInputs(ov.Tensor(ids), ov.Tensor(np.ones_like(ids)))
        found = self.pipeline.generate(given, how)
        self.first_ns = int(found.perf_metrics.get_ttft().mean * 1e6)
        return np.array(found.tokens)

    def matmuls(self) -> dict[str, int]:
        """Count the products of the IR, compiled as the pipeline compiles it."""
        self._compiled()
        return super().matmuls()

    def compiled(self) -> Any:
        self._compiled()
        return super().compiled()

    def _compiled(self) -> None:
        """Compile the IR beside the pipeline, after its memory was measured."""
        if self.model is None:
            self.load()
            self.latency = self._compile("LATENCY")

    def parameters(self) -> int:
        self._compiled()
        return super().parameters()
