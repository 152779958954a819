"""Benchmarks on disk: sealed like a stage, so whole or not there."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jpqd.core import artifact, bench_result, seals
from jpqd.core.bench_result import FILE, SAMPLES, Bench
from jpqd.core.errors import UserError
from jpqd.core.manifest import Manifest
from jpqd.core.names import BENCH, MANIFEST

if TYPE_CHECKING:
    import numpy as np

BESIDE = "bench_manual"
"""The folder of `jpqd bench` where the recipe has a stage called `bench`."""


def write(bench: Bench, samples: Mapping[str, np.ndarray], folder: Path) -> None:
    import numpy as np

    (folder / FILE).write_text(bench.model_dump_json(indent=2) + "\n")
    np.savez_compressed(folder / SAMPLES, allow_pickle=False, **samples)


def seal(bench: Bench, samples: Mapping[str, np.ndarray], partial: Path, folder: Path) -> None:
    """Write a benchmark beside its place, and rename it."""
    with artifact.disk_full_is_clear(folder.parent, "What was there before is intact."):
        write(bench, samples, partial)
        artifact.seal(partial, folder, _manifest(bench, folder))


def read(path: Path) -> Bench:
    """Read a bench.json, or that of a folder; a sealed folder is checked first."""
    folder = path if path.is_dir() else path.parent
    if (folder / MANIFEST).is_file():
        artifact.open_sealed(folder)
    return bench_result.read(path)


def check(folder: Path) -> None:
    """Refuse to replace a folder that is not a benchmark, before anything is measured."""
    manifest = artifact.read(folder)
    if folder.exists() and (manifest is None or manifest.kind != "bench"):
        raise UserError(f"{folder} exists and is not a benchmark. Give another folder: --out.")


def summary(bench: Bench) -> dict[str, Any]:
    """Return the medians of each arm, for the manifest."""
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
    return Manifest.of(
        folder.name,
        BENCH,
        "bench",
        bench.seconds,
        fingerprint=seals.digest(inputs),
        inputs=inputs,
        metrics=summary(bench),
    )
