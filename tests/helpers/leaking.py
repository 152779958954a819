"""A backend that keeps some bytes of every request."""

from typing import Any

import numpy as np

from jpqd.core.bench_result import Compiled
from runtime_bench.backend import Backend, Session


class Leaking(Backend):
    kept: int

    @property
    def title(self) -> str:
        return "leaking"

    def open(self) -> "LeakingSession":
        return LeakingSession(self.kept)


class LeakingSession(Session):
    def __init__(self, kept: int) -> None:
        self.kept = kept
        self.leaked: list[bytes] = []

    def load(self) -> None:
        self.weights = np.ones(5_000_000)

    def prepare(self, requests: Any) -> None:
        pass

    def call(self, index: int) -> None:
        self.leaked.append(b"x" * self.kept)

    def logits(self, index: int) -> np.ndarray:
        return np.zeros((1, 2))

    def matmuls(self) -> dict[str, int]:
        return {"f32": 1}

    def compiled(self) -> Compiled:
        return Compiled(streams=None, requests=1, threads=1, properties={})

    def bytes(self) -> int:
        return 0
