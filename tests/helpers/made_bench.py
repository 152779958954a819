"""A bench.json made by hand, for what reads one."""

from jpqd.core.bench_result import (  # fmt: skip
    Accuracy,
    Arm,
    Asked,
    Bench,
    Estimate,
    Figures,
    Host,
    Latency,
    Load,
    Measurement,
    Workload,
)

WORKLOAD = "real lengths, batch 1"
IDLE = Load(load_1min=0.0, psi_avg10=0.0, steal_seconds=0.0)


def estimate(value: float, spread: float = 0.02) -> Estimate:
    return Estimate(value=value, low=value * (1 - spread), high=value * (1 + spread))


def bench(milliseconds: dict[str, float], accuracy: dict[str, float] | None = None) -> Bench:
    """Arms by their p50; the first is the baseline. p99 has too few samples."""
    base = next(iter(milliseconds))
    arms = {name: _figures(p50, milliseconds[base], name == base)
            for name, p50 in milliseconds.items()}  # fmt: skip
    for name, p50 in milliseconds.items():
        others = {other: estimate(time / p50) for other, time in milliseconds.items()}
        arms[name].speedup_over = {k: v for k, v in others.items() if k != name}
    measured = Measurement(
        mode="latency", workload=WORKLOAD, blocks=30, requests_per_block=8, disturbed=[], arms=arms
    )
    return Bench(
        complete=True, created="2026-01-01T00:00:00+00:00", seconds=1.0, run=None, baseline=base,
        asked=Asked(
            device="CPU", modes=["latency"], length=None, batches=[1], policy="exact", seconds=1.0,
            blocks=30, threads=1, seed=0, rates=[],
        ),
        host=Host(
            processor="made up", flags=[], cores=1, affinity=[0], cgroup_cpus=None, governor=None,
            memory_gb=None, before=IDLE, after=IDLE, environment={},
        ),
        workloads=[
            Workload(
                name=WORKLOAD, batch=1, length=None, policy="exact", source="made up", rows=240,
                requests=240, useful_tokens=1, processed_tokens=1, padding=0.0,
            )
        ],
        arms=[_arm(name, (accuracy or {}).get(name)) for name in milliseconds],
        measurements=[measured],
    )  # fmt: skip


def _arm(name: str, accuracy: float | None) -> Arm:
    found = None if accuracy is None else Accuracy(
        metric="accuracy", value=accuracy, n=872, interval=None, split="validation",
        source="manifest",
    )  # fmt: skip
    return Arm(
        name=name, stage=name, backend="OpenVINO", path=name, precision="int8", matmuls={"u8": 12},
        compiled={}, accuracy=found, bytes=5_000_000, parameters=None, peak_rss_mb=100.0,
        rss_before_mb=40.0, rss_serving_mb=90.0,
        load_seconds=0.1, compile_cold_seconds=None, compile_cached_seconds=None,
        energy_joules=None, energy_note="not measurable here",
    )  # fmt: skip


def _figures(p50: float, base: float, is_base: bool) -> Figures:
    latency = Latency(
        n=240, mean=estimate(p50), p50=estimate(p50), p90=estimate(1.2 * p50),
        p95=estimate(1.3 * p50), p99=Estimate(needs=299),
    )  # fmt: skip
    return Figures(
        latency_ms=latency, rows_per_second=estimate(1e3 / p50), overhead_us=2.0,
        speedup=None if is_base else estimate(base / p50), speedup_over={},
    )  # fmt: skip
