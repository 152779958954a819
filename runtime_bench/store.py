"""A benchmark on disk: sealed like a stage, so whole or not there."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jpqd import artifact, host
from jpqd.artifact import Manifest
from jpqd.errors import UserError
from runtime_bench.result import FILE, SAMPLES, Bench

if TYPE_CHECKING:
    import numpy as np

NAME, BESIDE = "bench", "bench_manual"
"""In a run, and where the recipe has a stage called so."""


def write(bench: Bench, samples: Mapping[str, np.ndarray], folder: Path) -> None:
    import numpy as np

    (folder / FILE).write_text(bench.model_dump_json(indent=2) + "\n")
    np.savez_compressed(folder / SAMPLES, allow_pickle=False, **samples)


def seal(bench: Bench, samples: Mapping[str, np.ndarray], folder: Path) -> None:
    partial = folder.with_name(folder.name + artifact.PARTIAL)
    shutil.rmtree(partial, ignore_errors=True)
    with artifact.disk_full_is_clear(folder.parent, "What was there before is intact."):
        partial.mkdir(parents=True)
        write(bench, samples, partial)
        artifact.seal(partial, folder, _manifest(bench, folder))


def check(folder: Path) -> None:
    """Before anything is measured: only an earlier benchmark may be replaced."""
    found = artifact.read(folder)
    if folder.exists() and (found is None or found.use != NAME):
        raise UserError(f"{folder} is there and is no benchmark. Name another folder: --out.")


def summary(bench: Bench) -> dict[str, Any]:
    """For the manifest: the middle of each arm."""
    return {
        f"{measurement.mode}, {measurement.workload}"
        + (f", {measurement.rate:.0%}" if measurement.rate else ""): {
            name: {
                "p50_ms": figures.latency_ms.p50.value if figures.latency_ms else None,
                "rows_per_second": figures.rows_per_second.value,
                "speedup": figures.speedup.value if figures.speedup else None,
            }
            for name, figures in measurement.arms.items()
        }
        for measurement in bench.measurements
    }


def _manifest(bench: Bench, folder: Path) -> Manifest:
    inputs = {
        "asked": bench.asked.model_dump(mode="json"),
        "arms": [arm.path for arm in bench.arms],
    }
    return Manifest(
        stage=folder.name,
        use=NAME,
        fingerprint=artifact.digest(inputs),
        inputs=inputs,
        metrics=summary(bench),
        seconds=bench.seconds,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        environment=host.environment(),
    )
