"""A decoder's IR that writes, by OpenVINO's own requests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from runtime_bench.backends.openvino_ir import IrSession, OpenvinoIr
from runtime_bench.writing import StepSession

if TYPE_CHECKING:
    import numpy as np

    from runtime_bench.backend import Request
    from runtime_bench.writing import Tokens


class OpenvinoWriter(OpenvinoIr):
    """An IR with its cache inside, without a library for generation."""

    def open(self) -> OpenvinoWriterSession:
        return OpenvinoWriterSession(self)


class OpenvinoWriterSession(StepSession, IrSession):
    def _check_inputs(self) -> None:
        self.inputs = [port.any_name for port in self.model.inputs]

    def prepare(self, requests: Sequence[Request]) -> None:
        StepSession.prepare(self, requests)

    def first(self, ids: np.ndarray) -> Tokens:
        self.request.reset_state()
        self.read = 0
        return self._after(ids)

    def next(self, tokens: Tokens) -> Tokens:
        return self._after(tokens[:, None])

    def _after(self, ids: np.ndarray) -> Tokens:
        import numpy as np

        prompts, count = ids.shape
        places = np.arange(self.read, self.read + count, dtype=np.int64)
        given = {
            "input_ids": ids,
            "attention_mask": np.ones((prompts, self.read + count), np.int64),
            "position_ids": np.repeat(places[None], prompts, 0),
            "beam_idx": np.arange(prompts, dtype=np.int32),
        }
        self.read += count
        inputs = {name: given[name] for name in self.inputs}
        # The answers to all tokens of a prompt are not copied for the one that is read.
        found = self.request.infer(inputs, share_inputs=True, share_outputs=True)
        tokens: Tokens = found["logits"][:, -1].argmax(-1)
        return tokens
