"""A decoder's IR that writes, by OpenVINO's own requests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from runtime_bench.backends.openvino_ir import IrSession, OpenvinoIr
from runtime_bench.writing import WritingSession

if TYPE_CHECKING:
    import numpy as np

    from runtime_bench.backend import Request


class OpenvinoWriter(OpenvinoIr):
    """An IR with its cache inside, without a library for generation."""

    def open(self) -> OpenvinoWriterSession:
        return OpenvinoWriterSession(self)


class OpenvinoWriterSession(WritingSession, IrSession):
    def _check_inputs(self) -> None:
        self.inputs = [port.any_name for port in self.model.inputs]

    def prepare(self, requests: Sequence[Request]) -> None:
        WritingSession.prepare(self, requests)

    def first(self, ids: np.ndarray) -> int:
        self.request.reset_state()
        self.read = 0
        return self._after(ids)

    def next(self, token: int) -> int:
        import numpy as np

        return self._after(np.array([[token]], np.int64))

    def _after(self, ids: np.ndarray) -> int:
        import numpy as np

        count = ids.shape[1]
        given = {
            "input_ids": ids,
            "attention_mask": np.ones((1, self.read + count), np.int64),
            "position_ids": np.arange(self.read, self.read + count, dtype=np.int64)[None],
            "beam_idx": np.zeros(1, np.int32),
        }
        self.read += count
        found = self.request.infer({name: given[name] for name in self.inputs}, share_inputs=True)
        return int(found["logits"][0, -1].argmax())
