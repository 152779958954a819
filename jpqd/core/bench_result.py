"""`bench.json`: what was asked, on what, and what came out. docs/bench.md explains it to readers.

Times are in the unit that the name ends in. An interval holds with 95%. Raw latencies lie beside it
in `samples.npz`.
"""

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from jpqd.core.errors import UserError

FILE, SAMPLES = "bench.json", "samples.npz"
Mode = Literal["latency", "throughput", "open_loop"]


class Part(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Estimate(Part):
    """A figure with its interval; without a value where the sample is too small for one."""

    value: float | None = None
    low: float | None = None
    high: float | None = None
    needs: int | None = None
    """The number of requests that this percentile takes, where `value` is null."""


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


class Load(Part):
    """How busy the machine was with other things."""

    load_1min: float | None
    psi_avg10: float | None
    """Share of the last 10 s, in percent, in which something waited for a processor."""
    steal_seconds: float | None
    """Since boot: what the hypervisor gave to others."""


class Host(Part):
    processor: str
    flags: list[str]
    """Those that decide how fast a model runs: avx2, avx512_vnni, amx_int8 and the like."""
    cores: int
    affinity: list[int]
    cgroup_cpus: float | None
    """Processors that the control group grants; null without a limit."""
    governor: str | None
    memory_gb: float | None
    before: Load
    after: Load
    environment: dict[str, Any]
    """As in a manifest: platform, versions of packages."""


class Workload(Part):
    """The same requests for every arm."""

    name: str
    """Such as `real lengths, batch 1`: measurements refer to it."""
    batch: int
    length: int | None
    policy: str
    source: str
    """Where the tokens come from."""
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
    """How a model was prepared for one way of running it."""

    streams: int | None
    requests: int
    """In flight at once."""
    threads: int
    properties: dict[str, str]
    """As the compiled model itself reports them."""


class Arm(Part):
    name: str
    stage: str
    """The stage, or the folder's name."""
    backend: str
    path: str
    precision: str
    """Effective: in what the matrix products are computed, such as `int8` or `int8 + bf16`."""
    matmuls: dict[str, int]
    """Matrix products by the precision that they run in."""
    compiled: dict[str, Compiled]
    """By mode."""
    accuracy: Accuracy | None
    bytes: int
    """The weights' and the graph's files."""
    parameters: int | None
    peak_rss_mb: float
    """Of a process that has done nothing else, after the first requests."""
    load_seconds: float
    compile_cold_seconds: float | None
    compile_cached_seconds: float | None
    energy_joules: float | None
    """For one request, of the whole processor package."""
    energy_note: str | None


class Latency(Part):
    """Milliseconds for a request; in the open loop from the moment it was due."""

    n: int
    mean: Estimate
    p50: Estimate
    p90: Estimate
    p95: Estimate
    p99: Estimate


class Figures(Part):
    """What one arm did in one measurement."""

    latency_ms: Latency | None
    """Null in throughput mode, where requests overlap."""
    rows_per_second: Estimate
    overhead_us: float | None
    """Time for each request that went into our own loop and is in no latency."""
    offered_per_second: float | None = None
    """Open loop: requests that were due in a second."""
    speedup: Estimate | None
    """Over the baseline: median over blocks of the paired ratio; above 1 is faster."""
    speedup_over: dict[str, Estimate]
    """The same over every other arm."""


class Measurement(Part):
    mode: Mode
    workload: str
    rate: float | None = None
    """Open loop: the share of each arm's capacity."""
    blocks: int
    requests_per_block: int
    disturbed: list[int]
    """Blocks, counted from 0, in which other things had the processors."""
    arms: dict[str, Figures]


class Bench(Part):
    format: Literal[1] = 1
    complete: bool
    """False after Ctrl-C: what was measured until then."""
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
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise UserError(
            f"{path} is no bench.json of format 1: {where}: {first['msg']}. Measure again."
        ) from error
