"""The contract of a backend: its settings, and the session that answers requests in a worker."""

import json
import time
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jpqd import tasks
from jpqd.core.bench_result import Compiled
from jpqd.recipe.schema import Count, Spec, Text
from jpqd.tasks import Kind

if TYPE_CHECKING:
    import numpy as np

    Request = Mapping[str, np.ndarray]
    """What a model may be fed by the name of the input; int64, rows by tokens."""

INPUTS = ("input_ids", "attention_mask", "token_type_ids")
"""All that a request holds."""
_SLEEP_NS = 200_000
"""Nearer to a request's time it is not worth going to sleep for."""


class Backend(Spec):
    """How one arm runs. It travels to the arm's worker; the session is opened there."""

    path: Text
    threads: Count

    @property
    @abstractmethod
    def title(self) -> str:
        """For the table."""

    @abstractmethod
    def open(self) -> "Session":
        """Inside the worker: nothing is loaded yet."""


class Session:
    """A model inside its worker."""

    @abstractmethod
    def load(self) -> None:
        """Read the files."""

    def compile(self) -> bool:
        """Make it ready to run; False where the backend has no such step."""
        return False

    def compile_cached(self) -> float | None:
        """Seconds to compile from a cache that holds the model, where there is one."""
        return None

    @abstractmethod
    def prepare(self, requests: "Sequence[Request]") -> None:
        """Make inputs of what comes, so that `call` builds nothing."""

    @abstractmethod
    def call(self, index: int) -> Any:
        """Answer one of the prepared requests. This alone is timed."""

    @abstractmethod
    def logits(self, index: int) -> "np.ndarray":
        """The answer itself."""

    @abstractmethod
    def matmuls(self) -> dict[str, int]:
        """Matrix products by the precision that they really run in."""

    @abstractmethod
    def compiled(self) -> Compiled:
        """For one request in flight."""

    def crowded(self) -> Compiled:
        """For as many requests in flight as the runtime likes; after `open_queue`."""
        return self.compiled()

    @abstractmethod
    def bytes(self) -> int:
        """Of the weights' and the graph's files."""

    def parameters(self) -> int | None:
        return None

    def open_queue(self) -> None:
        """Before `burst` and `serve`: room for more than one request in flight."""

    def burst(self, indices: Sequence[int]) -> None:
        """Answer all of these as fast as possible."""
        for index in indices:
            self.call(index)

    def serve(self, indices: Sequence[int], due: Sequence[int], done: list[int]) -> None:
        """Answer each one when it is due, or as soon after as can be; note when it was done."""
        for slot, index in enumerate(indices):
            wait_until(due[slot])
            self.call(index)
            done[slot] = time.perf_counter_ns()


def wait_until(moment: int) -> None:
    """Asleep, since a waiting loop would take a processor from the model."""
    left = moment - time.perf_counter_ns()
    if left > _SLEEP_NS:
        time.sleep((left - _SLEEP_NS // 2) / 1e9)


def effective(matmuls: Mapping[str, int]) -> str:
    """`int8 + bf16`: the most common first."""
    counts: dict[str, int] = {}
    for name, count in matmuls.items():
        name = "int8" if name in ("i8", "u8") else name
        counts[name] = counts.get(name, 0) + count
    return " + ".join(sorted(counts, key=lambda name: -counts[name])) or "unknown"


def kind_of(folder: Path) -> Kind:
    """The kind of task of a model, by its config."""
    return tasks.of_config(json.loads((folder / "config.json").read_text()))


def model_class(folder: Path) -> Any:
    """The class of transformers that reads a model of this kind."""
    import transformers

    return getattr(transformers, f"AutoModel{kind_of(folder).head}")
