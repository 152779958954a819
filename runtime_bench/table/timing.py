"""The times of a group of models: each in a process of its own, in interleaved blocks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from runtime_bench.backends.openvino_ir import OpenvinoIr
from runtime_bench.machine import host
from runtime_bench.measure import blocks
from runtime_bench.measure.statistics import FEWEST_BLOCKS
from runtime_bench.measure.worker import Worker
from runtime_bench.table.texts import Texts

_BLOCKS = 24


@dataclass(frozen=True)
class Times:
    """The milliseconds of each model, block and request; the bytes and the memory of each model."""

    ms: np.ndarray
    bodies: np.ndarray
    """The number of the length that each request of each block has."""
    sizes: np.ndarray
    peaks: np.ndarray
    """The most MB that a process took which ran nothing but this model."""
    disturbed: float
    """The share of blocks in which other programs used the processors."""
    computes: str
    """The precisions of the matrix products."""

    @property
    def blocks(self) -> int:
        return int(self.ms.shape[1])

    def middles(self, chosen: np.ndarray | None = None) -> np.ndarray:
        """Return the median of each model and length, over all blocks or these."""
        every = np.arange(self.blocks) if chosen is None else chosen
        ms, bodies = self.ms[:, every], self.bodies[every]
        lengths = range(self.bodies.max() + 1)
        return np.array([np.median(ms[:, bodies == length], axis=1) for length in lengths]).T

    def again(self, random: np.random.Generator) -> np.ndarray:
        """Return the medians over blocks that are drawn again."""
        return self.middles(random.integers(self.blocks, size=self.blocks))


def times(backends: Sequence[OpenvinoIr], sizes: np.ndarray, texts: Texts, seconds: float) -> Times:
    """Load models and measure them with requests of every length."""
    workers: dict[str, Worker] = {}
    try:
        for number, backend in enumerate(backends):
            workers[str(number)] = Worker(str(number), backend)
            workers[str(number)].ask("load")
        return _measured(workers, sizes, texts, seconds, backends[0].threads)
    finally:
        for worker in workers.values():
            worker.close()


def _measured(
    workers: dict[str, Worker], sizes: np.ndarray, texts: Texts, seconds: float, threads: int
) -> Times:
    paces = [one.ask("prepare", texts.requests) for one in workers.values()]
    peaks = np.array([one.ask("peak_mb") for one in workers.values()])
    plan = blocks.plan(paces, seconds, _BLOCKS, least=2 * len(texts.lengths))
    measured = blocks.measure(
        list(workers),
        len(texts.requests),
        plan,
        lambda arm, indices: workers[arm].ask("run", indices)[0],
        seed=0,
        watch=host.Watch(threads),
        stop=lambda: False,
    )
    done = len(measured.started)
    order = np.arange(done * plan.requests) % len(texts.requests)
    kept = _quiet(done, measured.disturbed)
    largest = workers[str(sizes.argmax())]
    return Times(
        ms=np.array([measured.blocks[arm] for arm in workers])[:, kept],
        bodies=texts.bodies[order].reshape(done, -1)[kept],
        sizes=sizes,
        peaks=peaks,
        disturbed=len(measured.disturbed) / done,
        computes=largest.ask("facts")["precision"],
    )


def _quiet(count: int, disturbed: Sequence[int]) -> list[int]:
    """Leave disturbed blocks out, where enough others are left."""
    quiet = [number for number in range(count) if number not in disturbed]
    return quiet if len(quiet) >= FEWEST_BLOCKS else list(range(count))


def save(times: Times, path: Path) -> None:
    """Write times beside their place and rename them: a kill leaves them whole, or not there."""
    partial = path.with_suffix(".partial.npz")
    np.savez(partial, **vars(times))
    partial.rename(path)


def load(path: Path) -> Times:
    with np.load(path) as found:
        arrays = {name: found[name] for name in ("ms", "bodies", "sizes", "peaks")}
        disturbed, computes = float(found["disturbed"]), str(found["computes"])
        return Times(**arrays, disturbed=disturbed, computes=computes)
