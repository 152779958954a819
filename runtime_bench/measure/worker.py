"""One process for each arm, which does nothing while another arm is measured."""

from __future__ import annotations

import multiprocessing
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any

from jpqd.core import cpus
from jpqd.core.errors import JpqdError, RunError, UserError
from runtime_bench.backend import Backend, effective
from runtime_bench.measure import memory

if TYPE_CHECKING:
    import numpy as np

    from runtime_bench.backend import Request

_OF_TOKENS = 3
"""The dimensions of answers that are one for each token."""
_PILOT, _PILOT_SECONDS = 16, 1.0
"""The number of requests that estimate the time of all, and the most seconds for them."""


class Inside:
    """The worker's functions, which the parent calls by name. Times are taken here."""

    def __init__(self, backend: Backend) -> None:
        self.session = backend.open()

    def load(self) -> dict[str, Any]:
        before = memory.settled_mb()
        begun = time.perf_counter()
        self.session.load()
        loaded = time.perf_counter()
        compiles = self.session.compile()
        compiled = time.perf_counter() - loaded if compiles else None
        return {
            "rss_before_mb": before,
            "load_seconds": loaded - begun,
            "compile_cold_seconds": compiled,
        }

    def prepare(self, requests: list[Request]) -> float:
        """Warm up every shape; return the milliseconds for a request."""
        self.session.prepare(requests)
        self.requests = len(requests)
        shapes = {request["input_ids"].shape: index for index, request in enumerate(requests)}
        self.shapes = list(shapes.values())
        for index in self.shapes * 2:
            self.session.call(index)
        return self._pace(len(requests))

    def _pace(self, requests: int) -> float:
        begun = time.perf_counter()
        for number in range(_PILOT):
            self.session.call(number * requests // _PILOT)
            if (spent := time.perf_counter() - begun) > _PILOT_SECONDS:
                break
        return 1e3 * spent / (number + 1)

    def facts(self) -> dict[str, Any]:
        """Return facts after the first requests, with the memory before anything else is tried."""
        peak, serving = memory.peak_mb(), memory.settled_mb()
        matmuls = self.session.matmuls()
        return {
            "peak_rss_mb": peak,
            "rss_serving_mb": serving,
            "precision": effective(matmuls),
            "matmuls": matmuls,
            "compiled": {"latency": self.session.compiled()},
            "bytes": self.session.bytes(),
            "parameters": self.session.parameters(),
            "compile_cached_seconds": self.session.compile_cached(),
        }

    def peak_mb(self) -> float:
        """Return the most memory that this process took so far."""
        return memory.peak_mb()

    def open_queue(self) -> Any:
        """Warm up every stream for every shape, because each prepares them by itself."""
        self.session.open_queue()
        compiled = self.session.throughput_properties()
        times = range(2 * compiled.requests)
        self.session.burst([index for index in self.shapes for _ in times])
        return compiled

    def run(self, indices: Sequence[int]) -> tuple[np.ndarray, float]:
        """Return the milliseconds of each request, and the loop's own microseconds for each.

        The request before them is answered first, as the caches hold another arm's weights. It has
        another shape than the first one, as often as neighbours have.
        """
        import numpy as np

        call, took, clock = self.session.call, self.session.took, time.perf_counter_ns
        spans, counted = [0] * len(indices), [0] * len(indices)
        call((indices[0] - 1) % self.requests)
        begun = clock()
        for slot, index in enumerate(indices):
            start = clock()
            call(index)
            spans[slot] = clock() - start
            counted[slot] = took(spans[slot])
        overhead = (clock() - begun - sum(spans)) / len(indices) / 1e3
        return np.array(counted) / 1e6, overhead

    def settled_mb(self) -> float:
        return memory.settled_mb()

    def answer(self, indices: Sequence[int]) -> None:
        """Answer requests one after the other and keep nothing, not even their times."""
        for index in indices:
            self.session.call(index)

    def burst(self, indices: Sequence[int]) -> tuple[np.ndarray, float]:
        """Return the milliseconds for a request when all are sent at once."""
        import numpy as np

        self.session.burst(indices[:1])
        begun = time.perf_counter_ns()
        self.session.burst(indices)
        return np.array([(time.perf_counter_ns() - begun) / len(indices) / 1e6]), 0.0

    def serve(
        self, indices: Sequence[int], per_second: float, seed: int
    ) -> tuple[np.ndarray, float]:
        """Return the milliseconds from the random time when each was due until it was done."""
        import numpy as np

        gaps = np.random.default_rng(seed).exponential(1e9 / per_second, len(indices))
        done = [0] * len(indices)
        self.session.burst(indices[:1])
        due = (time.perf_counter_ns() + np.cumsum(gaps)).astype(np.int64).tolist()
        self.session.serve(indices, due, done)
        late = (np.array(done) - np.array(due)) / 1e6
        return late[len(late) // 10 :], 0.0  # at first the queue is empty

    def logits(self, requests: list[Request]) -> list[np.ndarray]:
        """Answer each request. What a fixed shape adds to it is left out of the answer."""
        self.session.prepare([self.session.fitted(request) for request in requests])
        found = []
        for index, request in enumerate(requests):
            rows, tokens = request["input_ids"].shape
            logits = self.session.logits(index)[:rows]
            found.append(logits[:, :tokens] if logits.ndim == _OF_TOKENS else logits)
        return found


_WHY = {
    -signal.SIGKILL: " Memory may have run out: measure fewer arms with --arms.",
    -signal.SIGFPE: " OpenVINO ends like this where a decoder computes in bf16 by AMX with one "
    "thread (its issue 33300): give --threads 2 or more.",
}
"""The usual reason of an exit code."""


def _serve(connection: Connection, backend: Backend) -> None:
    """Answer the parent's calls until it goes, which a kill lets it do without a word."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # As an exception it also ends what the worker has started, and removes its folders.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    with suppress(BrokenPipeError, ConnectionResetError):
        _answer_calls(connection, backend)


def _answer_calls(connection: Connection, backend: Backend) -> None:
    try:
        inside = Inside(backend)
    except Exception as error:
        connection.send(_failed(error))
        return
    connection.send(("ok", None))
    while True:
        try:
            name, arguments = connection.recv()
        except EOFError:
            return
        try:
            connection.send(("ok", getattr(inside, name)(*arguments)))
        except Exception as error:
            connection.send(_failed(error))


def _failed(error: Exception) -> tuple[str, str]:
    if isinstance(error, UserError):
        return "user", str(error)
    kind = "" if isinstance(error, JpqdError) else f"{type(error).__name__}: "
    return "run", f"{kind}{error}"


class Worker:
    """The parent's side of a worker: `worker.ask("run", indices)`."""

    def __init__(self, arm: str, backend: Backend) -> None:
        spawn = multiprocessing.get_context("spawn")
        self.arm = arm
        self.connection, theirs = spawn.Pipe()
        self.process = spawn.Process(target=_serve, args=(theirs, backend), name=arm, daemon=True)
        # Ctrl-C reaches all processes of a terminal; the parent alone decides what it means. The
        # tracker that multiprocessing starts at its first process would lift the block again.
        resource_tracker.ensure_running()
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            with cpus.spinning():
                self.process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        theirs.close()
        self._answer()

    def ask(self, name: str, *arguments: Any) -> Any:
        with suppress(OSError):  # it has died: what follows says so
            self.connection.send((name, arguments))
        return self._answer()

    def _answer(self) -> Any:
        try:
            state, value = self.connection.recv()
        except (EOFError, OSError):
            self.process.join(5)
            raise RunError(
                f"{self.arm}: its process ended with code {self.process.exitcode}."
                + _WHY.get(self.process.exitcode or 0, "")
            ) from None
        if state == "ok":
            return value
        error = UserError if state == "user" else RunError
        raise error(f"{self.arm}: {value}")

    def close(self) -> None:
        self.connection.close()
        self.process.join(5)
        if self.process.is_alive():
            self.process.terminate()
            self.process.join(5)
        if self.process.is_alive():  # in a call of the runtime, which heeds nothing else
            self.process.kill()
