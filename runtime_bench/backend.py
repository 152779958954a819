"""The contract of a backend: its settings, and the session that answers requests in a worker."""

import time
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from jpqd.core.bench_result import Compiled
from jpqd.recipe.schema import Count, Spec, Text

if TYPE_CHECKING:
    import numpy as np

    Request = Mapping[str, np.ndarray]
    """The arrays of a request by the name of the input: int64, rows by tokens."""

INPUTS = ("input_ids", "attention_mask", "token_type_ids")
"""The names of a request's arrays."""
_SLEEP_NS = 200_000
"""Waits shorter than this are not worth a sleep."""


class Backend(Spec):
    """The settings of one arm, sent to the arm's worker, which opens the session."""

    path: Text
    threads: Count

    @property
    @abstractmethod
    def title(self) -> str:
        """The name of the backend in tables."""

    @abstractmethod
    def open(self) -> "Session":
        """Open a session inside the worker, without loading the model."""


class Session:
    """A model inside its worker."""

    @abstractmethod
    def load(self) -> None:
        """Read the files."""

    def compile(self) -> bool:
        """Prepare the model to run; return False where the backend has no such step."""
        return False

    def compile_cached(self) -> float | None:
        """Return the seconds to compile from a filled cache; None without a cache."""
        return None

    @abstractmethod
    def prepare(self, requests: "Sequence[Request]") -> None:
        """Turn requests into inputs, so that `call` builds nothing."""

    @abstractmethod
    def call(self, index: int) -> Any:
        """Answer one of the prepared requests. Only this is timed."""

    def took(self, spent_ns: int) -> int:
        """Return the time that counts of the last call, which took so long in all."""
        return spent_ns

    @abstractmethod
    def logits(self, index: int) -> "np.ndarray":
        """Return the answer to a prepared request."""

    def fitted(self, request: "Request") -> "Request":
        """Fill a request up to the one shape that a model takes, if it takes only one."""
        return request

    @abstractmethod
    def matmuls(self) -> dict[str, int]:
        """Count the matrix products by the precision in which they really run."""

    @abstractmethod
    def compiled(self) -> Compiled:
        """Return the properties of the model for one request in flight."""

    def throughput_properties(self) -> Compiled:
        """Return the properties for many requests in flight; call `open_queue` first."""
        return self.compiled()

    @abstractmethod
    def bytes(self) -> int:
        """Return the size of the files of the weights and the graph."""

    def parameters(self) -> int | None:
        return None

    def open_queue(self) -> None:
        """Make room for more than one request in flight, before `burst` and `serve`."""

    def burst(self, indices: Sequence[int]) -> None:
        """Answer all these requests as fast as possible."""
        for index in indices:
            self.call(index)

    def serve(self, indices: Sequence[int], due: list[int], done: list[int]) -> None:
        """Answer each request about when it is due; note when it was done, and if it was early."""
        for slot, index in enumerate(indices):
            due[slot] = wait_until(due[slot])
            self.call(index)
            done[slot] = time.perf_counter_ns()


def wait_until(moment: int) -> int:
    """Sleep until about a moment; return it, or the earlier one at which the sleep was over.

    A loop that waits for the exact moment would take a processor from the model.
    """
    left = moment - time.perf_counter_ns()
    if left > _SLEEP_NS:
        time.sleep((left - _SLEEP_NS // 2) / 1e9)
    return min(moment, time.perf_counter_ns())


def effective(matmuls: Mapping[str, int]) -> str:
    """Name the precisions, the most common first, such as `int8 + bf16`."""
    counts: dict[str, int] = {}
    for name, count in matmuls.items():
        name = "int8" if name in ("i8", "u8") else name
        counts[name] = counts.get(name, 0) + count
    return " + ".join(sorted(counts, key=lambda name: -counts[name])) or "unknown"
