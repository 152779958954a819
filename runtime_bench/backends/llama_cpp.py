"""A GGUF file that writes, by llama.cpp: what many run language models with."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jpqd.core.bench_result import Compiled
from jpqd.core.errors import UserError
from runtime_bench.backend import Backend
from runtime_bench.writing import WritingSession

if TYPE_CHECKING:
    from runtime_bench.backend import Request

SUFFIX = ".gguf"
_TOKENS = 1024
"""The tokens that a model is opened for before its prompts are known."""
_SILENT = -1


class LlamaCpp(Backend):
    """llama.cpp's own server inside the worker. Prompts are not remembered."""

    @property
    def title(self) -> str:
        return "llama.cpp"

    def open(self) -> LlamaCppSession:
        return LlamaCppSession(self)


class LlamaCppSession(WritingSession):
    def __init__(self, backend: LlamaCpp) -> None:
        try:
            import xllamacpp
        except ImportError as error:
            raise UserError(
                f"{backend.path}: llama.cpp is not installed. pip install 'jpqd[rivals]'"
            ) from error
        self.llama, self.backend = xllamacpp, backend
        self.prompts_at_once, self.tokens = 1, _TOKENS

    def load(self) -> None:
        settings = self.llama.CommonParams()
        settings.model.path = self.backend.path
        settings.n_parallel, settings.n_ctx = (
            self.prompts_at_once,
            self.prompts_at_once * self.tokens,
        )
        settings.n_batch = max(settings.n_batch, self.prompts_at_once * self.tokens)
        settings.n_gpu_layers = 0
        settings.cpuparams.n_threads = self.backend.threads
        settings.cpuparams_batch.n_threads = self.backend.threads
        settings.cache_ram_mib, settings.verbosity = 0, _SILENT
        try:
            self.server: Any = self.llama.Server(settings)
        except RuntimeError as error:
            raise UserError(f"{self.backend.path}: llama.cpp cannot open it: {error}") from error
        self._ask([[0]], 1)  # a server that is closed before its first answer may wait for ever

    def prepare(self, requests: Sequence[Request]) -> None:
        """Open the model anew where it has no room for these prompts."""
        super().prepare(requests)
        at_once = max(len(ids) for ids, _ in self.prompts)
        tokens = max(ids.shape[1] + count for ids, count in self.prompts)
        if at_once > self.prompts_at_once or tokens > self.tokens:
            self.prompts_at_once = max(at_once, self.prompts_at_once)
            self.tokens = max(tokens, self.tokens)
            self.server = None
            self.load()

    def call(self, index: int) -> list[str]:
        """Return the new text of each prompt: llama.cpp gives no tokens."""
        ids, self.count = self.prompts[index]
        found = self._ask(ids.tolist(), self.count)
        self.first_ns = int(found["timings"]["prompt_ms"] * 1e6)
        return [choice["text"] for choice in found["choices"]]

    def _ask(self, prompts: list[list[int]], count: int) -> dict[str, Any]:
        found: dict[str, Any] = self.server.handle_completions(
            {
                "prompt": prompts,
                "n_predict": count,
                "temperature": 0,
                "ignore_eos": True,
                "cache_prompt": False,
            }
        )
        if "choices" not in found:
            raise UserError(f"{self.backend.path}: llama.cpp says {found}.")
        return found

    def matmuls(self) -> dict[str, int]:
        """Count the file's matrices by the type of their weights."""
        from gguf import GGUFReader

        tensors = GGUFReader(self.backend.path).tensors
        return dict(Counter(t.tensor_type.name.lower() for t in tensors if len(t.shape) > 1))

    def compiled(self) -> Compiled:
        at_once, threads = self.prompts_at_once, self.backend.threads
        return Compiled(streams=None, requests=at_once, threads=threads, properties={})

    def bytes(self) -> int:
        return Path(self.backend.path).stat().st_size
