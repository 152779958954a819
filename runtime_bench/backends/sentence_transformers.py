"""sentence-transformers with the INT8 that it makes itself. It needs the extra `[rivals]`."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jpqd.core.bench_result import Compiled
from jpqd.core.errors import UserError
from jpqd.core.names import IR_BIN, IR_XML
from runtime_bench.backend import Backend, Session
from runtime_bench.backends.openvino_ir import IrSession, OpenvinoIr
from runtime_bench.rivals.made import made

if TYPE_CHECKING:
    import numpy as np

    from runtime_bench.backend import Request


class SentenceTransformers(Backend):
    """An embedding model as the library's users run it: quantized by it, and pooled in PyTorch."""

    calibration: str = ""
    """The file of rows of train."""

    @property
    def title(self) -> str:
        return "sentence-transformers"

    def open(self) -> LibrarySession:
        return LibrarySession(self)


class LibrarySession(Session):
    def __init__(self, backend: SentenceTransformers) -> None:
        """Let the library quantize the model; the folder is there as long as the session is."""
        if find_spec("sentence_transformers") is None:
            raise UserError(
                "sentence-transformers is not installed. Install the extra: pip install "
                "'jpqd[rivals]', or leave this arm out with --arms."
            )
        import torch

        torch.set_num_threads(backend.threads)
        self.backend, self.torch = backend, torch
        self.folder = made("sentence_transformers", backend.path, backend.calibration)

    def load(self) -> None:
        from sentence_transformers import SentenceTransformer

        threads = {"INFERENCE_NUM_THREADS": str(self.backend.threads)}
        self.model: Any = SentenceTransformer(
            self.folder.name,
            backend="openvino",
            device="cpu",
            local_files_only=True,
            model_kwargs={"export": False, "ov_config": threads},
        )

    def prepare(self, requests: Sequence[Request]) -> None:
        self.inputs = [
            {name: self.torch.from_numpy(array) for name, array in request.items()}
            for request in requests
        ]

    def call(self, index: int) -> Any:
        with self.torch.inference_mode():
            return self.model(dict(self.inputs[index]))

    def logits(self, index: int) -> np.ndarray:
        vectors: np.ndarray = self.call(index)["sentence_embedding"].float().numpy()
        return vectors

    def matmuls(self) -> dict[str, int]:
        return self._plain().matmuls()

    def compiled(self) -> Compiled:
        return self._plain().compiled()

    def _plain(self) -> IrSession:
        """Return a session of the same IR, which says how its products run."""
        plain = OpenvinoIr(path=self.folder.name, threads=self.backend.threads)
        session = plain.open()
        session.load()
        session.compile()
        return session

    def bytes(self) -> int:
        return sum((Path(self.folder.name) / name).stat().st_size for name in (IR_XML, IR_BIN))
