"""An IR as static copies, one for each length that is a multiple of 8.

A dynamic model prepares every operation again when a request's shape changes; for a small model
this takes longer than the request itself. A static copy never does.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from runtime_bench.backend import wait_until
from runtime_bench.backends.openvino_ir import IrSession, OpenvinoIr

if TYPE_CHECKING:
    import numpy as np
    import openvino as ov

    from runtime_bench.backend import Request

_STEP = 8
Shape = tuple[int, int]


class OpenvinoStatic(OpenvinoIr):
    """An IR as static copies. The time of a request includes padding it to a copy's length."""

    @property
    def title(self) -> str:
        return f"{super().title}, static"

    def open(self) -> StaticSession:
        return StaticSession(self)


class StaticSession(IrSession):
    def compile(self) -> bool:
        """Compile nothing yet: the first requests bring the shapes."""
        self.copies: dict[Shape, ov.CompiledModel] = {}
        self.queues: dict[Shape, ov.AsyncInferQueue] = {}
        return False

    def compile_cached(self) -> float | None:
        return None

    def prepare(self, requests: Sequence[Request]) -> None:
        padded = [self._padded(request) for request in requests]
        super().prepare(padded)
        self.shapes: list[Shape] = [request["input_ids"].shape for request in padded]
        for shape in dict.fromkeys(self.shapes):
            if shape not in self.copies:
                self.copies[shape] = self._copy(shape, "LATENCY")
        ready = {shape: self.copies[shape].create_infer_request() for shape in set(self.shapes)}
        self.calls = [
            (ready[shape], items) for shape, items in zip(self.shapes, self.items, strict=True)
        ]
        self.latency = self.copies[self.shapes[0]]

    def _copy(self, shape: Shape, hint: str) -> ov.CompiledModel:
        import openvino as ov

        model = self.plain.clone()
        model.reshape({port: ov.PartialShape(list(shape)) for port in model.inputs})
        return self.core.compile_model(model, self.backend.device, self.backend.properties(hint))

    def _padded(self, request: Request) -> Request:
        """Pad a request as far as the IR allows."""
        length = request["input_ids"].shape[1]
        tokens = self.model.input("input_ids").partial_shape[1]
        most = tokens.get_max_length() if tokens.is_dynamic else tokens.get_length()
        wanted = -(-length // _STEP) * _STEP
        more = max(0, (min(wanted, most) if most > 0 else wanted) - length)
        return self.filled(request, more)

    def call(self, index: int) -> None:
        request, items = self.calls[index]
        for name, tensor in items:
            request.set_tensor(name, tensor)
        request.infer()

    def logits(self, index: int) -> np.ndarray:
        self.call(index)
        logits: np.ndarray = self.calls[index][0].get_output_tensor(0).data.copy()
        return logits

    def open_queue(self) -> None:
        import openvino as ov

        for shape in set(self.shapes) - self.queues.keys():
            self.throughput = self._copy(shape, "THROUGHPUT")
            many = self.throughput.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS")
            self.queue = self.queues[shape] = ov.AsyncInferQueue(self.throughput, many)

    def burst(self, indices: Sequence[int]) -> None:
        """Answer shape by shape, like a service that gathers requests before it answers."""
        groups: dict[Shape, list[int]] = defaultdict(list)
        for index in indices:
            groups[self.shapes[index]].append(index)
        for shape, members in groups.items():
            for index in members:
                self.queues[shape].start_async(self.tensors[index], share_inputs=True)
            self.queues[shape].wait_all()

    def serve(self, indices: Sequence[int], due: list[int], done: list[int]) -> None:
        """Send each request to the queue of its shape, as it comes."""

        def note(_: Any, slot: int) -> None:
            done[slot] = time.perf_counter_ns()

        for queue in self.queues.values():
            queue.set_callback(note)
        for slot, index in enumerate(indices):
            due[slot] = wait_until(due[slot])
            queue = self.queues[self.shapes[index]]
            queue.start_async(self.tensors[index], slot, share_inputs=True)
        for queue in self.queues.values():
            queue.wait_all()
            queue.set_callback(lambda *_: None)
