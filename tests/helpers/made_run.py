"""A run whose manifests were written by hand, for what reads one: nothing is trained."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from jpqd.core import artifact, bench_result, files, lock, seals
from jpqd.core.bench_result import Bench
from jpqd.core.manifest import Manifest
from jpqd.core.names import BENCH
from runtime_bench import store
from tests.helpers import made_bench, reseal

ROWS = 400
DENSE, CUT = [[12, 1536], [12, 1536]], [[5, 384], [0, 64]]
ENVIRONMENT = {"python": "3.11", "processor": "made up", "packages": {"torch": "2.13"}}


def make(folder: Path, task: str = "reviews", bench: bool = True) -> Path:
    """Baseline, JPQD, its IR, and a benchmark of them."""
    folder.mkdir(parents=True)
    stages = {"teacher": {"use": "train"}, "jpqd": {"use": "train"}}
    recipe = {"name": folder.name, "model": None, "task": {"name": task}, "stages": stages}
    seals.write(folder / "recipe.json", recipe)
    trained(folder, "teacher", wrong=40, facts=_facts(1.0, DENSE, "FP32"))
    trained(folder, "jpqd", wrong=36, facts=_facts(0.2971, CUT, "INT8"), needs=("teacher",))
    exported(folder, "jpqd_ir", "jpqd", wrong=36)
    if bench:
        benchmark(folder)
    return folder


def whole(folder: Path) -> None:
    """Add the whole model in INT8, its IR, and the IR of the teacher."""
    facts = _facts(1.0, DENSE, "INT8")
    trained(folder, "ptq", wrong=44, facts=facts, needs=("teacher",))
    exported(folder, "ptq_ir", "ptq", wrong=44, facts=facts)
    exported(folder, "teacher_ir", "teacher", wrong=40, facts=_facts(1.0, DENSE, "FP32"))
    stages = {name: {} for name in ("teacher", "ptq", "jpqd", "teacher_ir", "ptq_ir", "jpqd_ir")}
    reseal.edit(folder / "recipe.json", lambda kept: kept.update(stages=stages))


def _facts(share: float, layers: list[list[int]], precision: str) -> dict[str, Any]:
    return {"parameters": int(1e6 * share), "encoder_share": share, "layers": layers,
            "precision": precision}  # fmt: skip


def _measured(wrong: int) -> dict[str, Any]:
    return {"n": ROWS, "accuracy": 1 - wrong / ROWS, "accuracy_95": [0.85, 0.95]}


def trained(
    folder: Path, name: str, wrong: int, facts: dict[str, Any], needs: tuple[str, ...] = ()
) -> None:
    """The first `wrong` rows are predicted wrongly."""
    partial = _partial(folder / name)
    _answers(partial, wrong)
    (partial / "model.safetensors").write_bytes(b"x" * 4_000_000)
    (partial / "history.json").write_text(json.dumps(_history()))
    train = {"steps": 40, "best_step": 40, "select_accuracy": 0.9125, "samples_per_second": 1.0}
    metrics = {"validation": _measured(wrong), "train": train, "model": facts}
    _seal(folder / name, "train", metrics, needs)


def _answers(partial: Path, wrong: int) -> None:
    labels = np.arange(ROWS) % 2
    right = np.arange(ROWS) >= wrong
    logits = np.eye(2, dtype=np.float32)[np.where(right, labels, 1 - labels)]
    save_file({"logits": logits, "labels": labels}, partial / "predictions.safetensors")


def _history() -> list[dict[str, Any]]:
    steps = [{"loss": 1 / step, "epoch": step / 20, "step": step} for step in range(5, 45, 5)]
    chosen = [{"select_n": 80, "select_accuracy": 0.85 + 0.0625 * epoch, "epoch": float(epoch),
               "step": 20 * epoch} for epoch in (0, 1, 2)]  # fmt: skip
    chosen[-1]["select_accuracy"] = 0.9125
    return [*steps, *chosen]


def exported(
    folder: Path, name: str, stage: str, wrong: int, facts: dict[str, Any] | None = None
) -> None:
    partial = _partial(folder / name)
    _answers(partial, wrong)
    (partial / "openvino_model.bin").write_bytes(b"x" * 1_250_000)
    check = {"rows": ROWS, "same": 0.9975, "same_asked": 0.995, "largest_difference": 0.0044,
             "mean_difference": 1e-5, "matmuls": {"u8": 12}}  # fmt: skip
    metrics = {
        "check": {"openvino_model.xml": check},
        "validation": {**_measured(wrong), "pytorch": _measured(36)},
        "model": facts or _facts(0.2971, CUT, "INT8"),
    }
    _seal(folder / name, "ov_ir", metrics, (stage,))


def benchmark(
    folder: Path,
    name: str = BENCH,
    disturbed: tuple[int, ...] = (),
    more: dict[str, float] | None = None,
) -> Bench:
    """`jpqd_ir` is 11.2 times as fast. Of p99 there are too few samples. `more`: arms' p50."""
    times = {"teacher": 11.2, "jpqd_ir": 1.0, **(more or {})}
    accuracies = {"teacher": 0.90, "jpqd_ir": 0.91, **dict.fromkeys(more or {}, 0.91)}
    made = made_bench.bench(times, accuracies)
    for arm in made.arms:
        arm.stage = arm.name.partition(":")[0]
    made.arms[0].backend, made.arms[0].precision = "PyTorch", "f32"
    made.measurements[0].disturbed = list(disturbed)
    places = np.repeat(np.arange(len(times)), 240)
    samples = {
        "measurement": np.zeros(len(places), int),
        "arm": places,
        "milliseconds": np.array(list(times.values()))[places] * np.tile(_spread(), len(times)),
        "arms": np.array(list(times)),
    }
    with lock.sealing(folder / name) as partial:
        store.seal(made, samples, partial, folder / name)
    return made


def seal_benchmark(folder: Path, made: Bench) -> None:
    """Seal a benchmark that was changed, with the same raw times."""
    with np.load(folder / BENCH / bench_result.SAMPLES) as samples:
        times = dict(samples)
    with lock.sealing(folder / BENCH) as partial:
        store.seal(made, times, partial, folder / BENCH)


def _spread() -> np.ndarray:
    return np.linspace(0.9, 1.3, 240)


def _partial(folder: Path) -> Path:
    partial = folder.with_name(folder.name + files.PARTIAL)
    partial.mkdir()
    return partial


def _seal(folder: Path, use: str, metrics: dict[str, Any], needs: tuple[str, ...]) -> None:
    inputs = {"stage": {"use": use, "needs": list(needs)}}
    kind = {"train": "model", "ov_ir": "ir", "evaluate": "figures"}[use]
    manifest = Manifest(
        stage=folder.name, use=use, kind=kind, fingerprint=seals.digest(inputs), inputs=inputs,
        metrics=metrics, seconds=1.0, created="2026-01-01T00:00:00+00:00", environment=ENVIRONMENT,
    )  # fmt: skip
    artifact.seal(folder.with_name(folder.name + files.PARTIAL), folder, manifest)
