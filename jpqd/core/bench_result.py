"""The contents of `bench.json`: settings, machine and results. docs/bench.md explains them.

A name ends in the unit of its value. Intervals hold with 95%. `samples.npz` holds the raw
latencies.
"""

from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from jpqd.core.contents import Part, first_problem
from jpqd.core.errors import UserError

FILE, SAMPLES = "bench.json", "samples.npz"
Mode = Literal["latency", "throughput", "open_loop"]


class Estimate(Part):
    """A figure with its interval; no value where the sample is too small."""

    value: float | None = None
    low: float | None = None
    high: float | None = None
    needs: int | None = None
    """The number of requests that this percentile needs, where `value` is null."""


class Asked(Part):
    device: str
    modes: list[Mode]
    length: int | None
    """Tokens of every row; null for the rows' own lengths."""
    batches: list[int]
    policy: str
    seconds: float
    """The time that measuring may take, all modes and batches together."""
    blocks: int
    threads: int
    seed: int
    rates: list[float]
    """Open loop: shares of each arm's capacity."""
    soak: int = 0
    """The requests of each arm between which its memory was compared."""
    new_tokens: int | None = None
    """Tokens that a language model writes after a prompt."""


class Load(Part):
    """The load that other programs put on the machine."""

    load_1min: float | None
    psi_avg10: float | None
    """The percentage of the last 10 s in which something waited for a processor."""
    steal_seconds: float | None
    """Seconds since boot that the hypervisor gave to other guests."""


class Host(Part):
    processor: str
    flags: list[str]
    """The flags that decide how fast a model runs: avx2, avx512_vnni, amx_int8 and the like."""
    cores: int
    affinity: list[int]
    cgroup_cpus: float | None
    """Processors that the control group grants; null without a limit."""
    governor: str | None
    memory_gb: float | None
    before: Load
    after: Load
    environment: dict[str, Any]
    """The platform and package versions, as in a manifest."""


class Workload(Part):
    """The same requests for every arm."""

    name: str
    """A name such as `real lengths, batch 1`, to which measurements refer."""
    batch: int
    length: int | None
    policy: str
    source: str
    """The source of the tokens."""
    rows: int
    requests: int
    useful_tokens: int
    processed_tokens: int
    padding: float
    """Share of the processed tokens that is padding."""


class Accuracy(Part):
    metric: str
    """accuracy, or pearson for a regression."""
    value: float
    n: int
    interval: tuple[float, float] | None
    split: str
    source: Literal["manifest", "measured"]


class Compiled(Part):
    """A model that is prepared for one way of running it."""

    streams: int | None
    requests: int
    """The number of requests in flight at once."""
    threads: int
    properties: dict[str, str]
    """The properties that the compiled model itself reports."""


class Soak(Part):
    """Many requests one after the other, of the first workload's lengths in random order."""

    requests: int
    seconds: float
    growth_mb: float
    """Resident memory after them, less that before."""
    late_growth_mb: float
    """The growth during the second half: what settles is over by then, what leaks is not."""


class Arm(Part):
    name: str
    stage: str
    """The stage, or the folder's name."""
    backend: str
    path: str
    precision: str
    """The precision in which the matrix products are computed, such as `int8` or `int8 + bf16`."""
    matmuls: dict[str, int]
    """Matrix products by the precision that they run in."""
    compiled: dict[str, Compiled]
    """The compiled model of each mode."""
    accuracy: Accuracy | None
    bytes: int
    """The size of the files of the weights and the graph."""
    parameters: int | None
    peak_rss_mb: float
    """The memory of a process that does nothing else, after the first requests."""
    rss_before_mb: float | None = None
    """Resident memory with Python and the runtime, before the model was loaded."""
    rss_serving_mb: float | None = None
    """Resident memory after loading, compiling and the first requests; garbage is given back."""
    soak: Soak | None = None
    load_seconds: float
    compile_cold_seconds: float | None
    compile_cached_seconds: float | None
    energy_joules: float | None
    """The energy of one request of the first workload, for the whole processor package."""
    energy_note: str | None


class Latency(Part):
    """Milliseconds for a request; in the open loop, from the moment it was due."""

    n: int
    mean: Estimate
    p50: Estimate
    p90: Estimate
    p95: Estimate
    p99: Estimate


class Figures(Part):
    """The figures of one arm in one measurement."""

    latency_ms: Latency | None
    """Null in throughput mode, where requests overlap."""
    rows_per_second: Estimate
    overhead_us: float | None
    """Time for each request that our own loop takes; no latency contains it."""
    offered_per_second: float | None = None
    """Open loop: requests that were due in a second."""
    speedup: Estimate | None
    """The speed relative to the baseline (median of the paired ratios); above 1 is faster."""
    speedup_over: dict[str, Estimate]
    """The speed relative to every other arm."""


class Measurement(Part):
    mode: Mode
    workload: str
    rate: float | None = None
    """Open loop: the share of each arm's capacity."""
    blocks: int
    requests_per_block: int
    disturbed: list[int]
    """Blocks, counted from 0, during which other programs used the processors."""
    arms: dict[str, Figures]


class Bench(Part):
    format: Literal[1] = 1
    complete: bool
    """False after Ctrl-C: the file then holds what was measured before."""
    created: str
    seconds: float
    run: str | None
    baseline: str
    asked: Asked
    host: Host
    workloads: list[Workload]
    arms: list[Arm]
    measurements: list[Measurement]

    def arm(self, name: str) -> Arm:
        return next(arm for arm in self.arms if arm.name == name)


def read(path: Path) -> Bench:
    path = path / FILE if path.is_dir() else path
    try:
        return Bench.model_validate_json(path.read_bytes())
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from error
    except ValidationError as error:
        raise UserError(
            f"{path} is not a bench.json of format 1: {first_problem(error)}. Run jpqd bench again."
        ) from error
