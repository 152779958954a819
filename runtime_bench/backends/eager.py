"""PyTorch: a stage or a `transformers` folder, in f32, in bf16 or compiled."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from jpqd import tasks
from jpqd.core.bench_result import Compiled
from jpqd.core.errors import UserError
from jpqd.core.names import STRUCTURE
from runtime_bench.backend import Backend, Session

if TYPE_CHECKING:
    import numpy as np

    from runtime_bench.backend import Request

_NAMES = {"float32": "f32", "bfloat16": "bf16", "float16": "f16"}


class Eager(Backend):
    """PyTorch. bf16 converts the model once, which is faster than autocast."""

    precision: Literal["f32", "bf16"] = "f32"
    compiled: bool = False
    """Use torch.compile, which needs a C++ compiler."""

    @property
    def title(self) -> str:
        return "PyTorch compiled" if self.compiled else "PyTorch"

    def open(self) -> EagerSession:
        return EagerSession(self)


class EagerSession(Session):
    def __init__(self, backend: Eager) -> None:
        import torch
        from transformers.utils import logging

        logging.disable_progress_bar()  # type: ignore[no-untyped-call]
        torch.set_num_threads(backend.threads)
        self.backend, self.torch = backend, torch

    def load(self) -> None:
        dtype = self.torch.bfloat16 if self.backend.precision == "bf16" else self.torch.float32
        self.model: Any = self._read().to(dtype).eval()
        self.run: Any = self.model

    def _read(self) -> Any:
        """Load an even model with transformers only: our own libraries would add to its memory."""
        folder = self.backend.path
        kind = tasks.of_folder(Path(folder))
        if (Path(folder) / STRUCTURE).is_file() or kind.vectors:
            from jpqd.model import loading

            return loading.load(folder)
        try:
            return kind.auto_class().from_pretrained(
                folder, dtype=self.torch.float32, use_safetensors=True, local_files_only=True
            )
        except (OSError, ValueError, KeyError) as error:
            raise UserError(f"{folder}: the model cannot be loaded ({error})") from error

    def compile(self) -> bool:
        """Compile for dynamic shapes, which serves all lengths; the first calls do the work."""
        if self.backend.compiled:
            self.run = self.torch.compile(self.model, dynamic=True)
        return False

    def prepare(self, requests: Sequence[Request]) -> None:
        import inspect

        taken = inspect.signature(self.model.forward).parameters
        self.inputs = [
            {name: self.torch.from_numpy(array) for name, array in request.items() if name in taken}
            for request in requests
        ]

    def call(self, index: int) -> Any:
        with self.torch.inference_mode():
            return self.run(**self.inputs[index])

    def logits(self, index: int) -> np.ndarray:
        logits: np.ndarray = self.call(index).logits.float().numpy()
        return logits

    def matmuls(self) -> dict[str, int]:
        """Count the layers' products; PyTorch computes a quantized model in f32."""
        products: dict[str, int] = {}
        for module in self.model.modules():
            if isinstance(module, self.torch.nn.Linear):
                name = str(module.weight.dtype).removeprefix("torch.")
                products[_NAMES.get(name, name)] = products.get(_NAMES.get(name, name), 0) + 1
        return products

    def compiled(self) -> Compiled:
        threads = self.torch.get_num_threads()
        return Compiled(streams=None, requests=1, threads=threads, properties={})

    def bytes(self) -> int:
        files = Path(self.backend.path).glob("model*.safetensors")
        return sum(path.stat().st_size for path in files)

    def parameters(self) -> int:
        return sum(parameter.numel() for parameter in self.model.parameters())
