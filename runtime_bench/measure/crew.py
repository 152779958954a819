"""The arms' workers: started one after the other, asked one at a time, ended together."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Callable
from statistics import median
from typing import TYPE_CHECKING, Any

from jpqd.core.bench_result import Soak
from runtime_bench.job.arms import Arm
from runtime_bench.machine import host
from runtime_bench.measure.worker import Worker

if TYPE_CHECKING:
    import numpy as np

    from runtime_bench.backend import Request
    from runtime_bench.measure.blocks import Run


_PARTS = 50
"""The parts of half a soak, between which Ctrl-C is heeded."""


class Crew:
    def __init__(self) -> None:
        self.workers: dict[str, Worker] = {}
        self.facts: dict[str, dict[str, Any]] = {}
        self.compiled: dict[str, dict[str, Any]] = {}
        self.overheads: dict[str, list[float]] = defaultdict(list)
        self.joules: dict[str, list[float]] = defaultdict(list)

    def __enter__(self) -> Crew:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self.workers.values():
            worker.close()

    def start(self, arm: Arm, requests: list[Request]) -> float:
        """Start an arm's worker; return its milliseconds for a request."""
        worker = self.workers[arm.name] = Worker(arm.name, arm.backend)
        loaded = worker.ask("load")
        pace: float = worker.ask("prepare", requests)
        self.facts[arm.name] = {**loaded, **worker.ask("facts")}
        return pace

    def prepare(self, requests: dict[str, list[Request]]) -> dict[str, float]:
        """Prepare each worker's requests; return each arm's milliseconds for a request."""
        return {
            name: worker.ask("prepare", requests[name]) for name, worker in self.workers.items()
        }

    def open_queues(self) -> None:
        for name, worker in self.workers.items():
            self.facts[name]["compiled"]["throughput"] = worker.ask("open_queue")

    def in_flight(self) -> int:
        """Return the most requests that an arm has in flight; call `open_queues` first."""
        return max(int(facts["compiled"]["throughput"].requests) for facts in self.facts.values())

    def run(self, arm: str, indices: list[int]) -> np.ndarray:
        """Answer requests one after the other; note the overhead and the energy."""
        before = host.joules()
        times, overhead = self.workers[arm].ask("run", indices)
        self.overheads[arm].append(overhead)
        if before is not None:
            self.joules[arm].append(((host.joules() or before) - before) / (len(indices) + 1))
        return self._array(times)

    def burst(self, arm: str, indices: list[int]) -> np.ndarray:
        return self._array(self.workers[arm].ask("burst", indices)[0])

    def serve(self, per_second: dict[str, float], seed: int) -> Run:
        """Return a run in which every arm gets the same arrivals on its own scale of time."""
        turns: Counter[str] = Counter()

        def run(arm: str, indices: list[int]) -> np.ndarray:
            turns[arm] += 1
            answer = self.workers[arm].ask("serve", indices, per_second[arm], seed + turns[arm])
            return self._array(answer[0])

        return run

    def soak(self, arm: str, order: np.ndarray, stop: Callable[[], int]) -> bool:
        """Answer requests and note the growth of memory; return False where it was stopped."""
        import numpy as np

        ask, begun = self.workers[arm].ask, time.monotonic()
        resident = [ask("settled_mb")]
        for half in np.array_split(order, 2):
            for part in np.array_split(half, _PARTS):
                ask("answer", part.tolist())
                if stop():
                    return False
            resident.append(ask("settled_mb"))
        first, middle, last = resident
        self.facts[arm]["soak"] = Soak(
            requests=len(order),
            seconds=round(time.monotonic() - begun, 1),
            growth_mb=last - first,
            late_growth_mb=last - middle,
        )
        return True

    def energy(self) -> dict[str, float]:
        """Return the joules of a request in the last measurement, where there are counters."""
        return {name: median(each) for name, each in self.joules.items()}

    def forget(self) -> None:
        """Forget overheads and energy of the measurement before."""
        self.overheads.clear()
        self.joules.clear()

    def overhead(self) -> dict[str, float]:
        """Return the microseconds of overhead for a request in the last measurement."""
        return {name: sum(each) / len(each) for name, each in self.overheads.items()}

    @staticmethod
    def _array(times: Any) -> np.ndarray:
        array: np.ndarray = times
        return array
