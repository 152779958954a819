"""`jpqd bench` on a run, and `use: bench` in a recipe: stages, IRs, accuracy, ONNX Runtime."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from jpqd.core import artifact, bench_result
from jpqd.core.progress import Progress
from jpqd.recipe import recipes
from jpqd.run import runner
from tests.helpers import irs, reseal, tiny

TRAIN = "use: train, epochs: 1, batch_size: 16, learning_rate: 3.0e-3, precision: f32"
RECIPE = tiny.RECIPE[: tiny.RECIPE.index("stages:")] + (
    "stages:\n"
    f"  teacher: {{{TRAIN}}}\n"
    "  small: {use: train, needs: [teacher], epochs: 0, methods: [{use: prune, keep: 0.5}]}\n"
)
STAGE = """\
  bench: {use: bench, needs: [teacher, small], arms: ["teacher:f32", "small:f32"], seconds: 1.0,
          blocks: 5, threads: 1, modes: [latency], batch: [2]}
"""
QUICK = ("--seconds", "2", "--blocks", "5", "--threads", "1")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with a teacher, a pruned stage, and an IR of each."""
    folder = tmp_path_factory.mktemp("bench")
    path = tiny.write_recipe(folder, rows=160, text=RECIPE)
    runner.execute(recipes.load(path), folder / "runs", Progress(quiet=True))
    for stage in ("small", "teacher"):
        irs.of_stage(folder / "runs" / "tiny" / stage, f"{stage}_ir")
    return folder


@pytest.fixture(scope="module")
def measured(trained: Path) -> bench_result.Bench:
    done = tiny.run("bench", "--runs", trained / "runs", "--accuracy", *QUICK, timeout=400)
    assert done.returncode == 0, done.stderr
    assert "about" in done.stderr and "minutes" in done.stderr
    return bench_result.read(trained / "runs" / "tiny" / "bench")


def test_a_run_is_its_baseline_and_every_ir(measured: bench_result.Bench) -> None:
    """In the recipe's order: the last is what the run was for, and what a gate is held against."""
    names = [arm.name for arm in measured.arms if not arm.name.endswith(":bf16")]
    dense = ["teacher:f32", "teacher_ir:f32", "teacher_ir", "teacher_ir:static"]
    assert names == [*dense, "small_ir", "small_ir:static"]
    assert measured.baseline == "teacher:f32"
    assert [arm.backend for arm in measured.arms][-2:] == ["OpenVINO", "OpenVINO, static"]
    latency = measured.measurements[0]
    assert latency.arms["teacher:f32"].speedup is None
    over = latency.arms["small_ir"].speedup_over
    assert over.keys() == {arm.name for arm in measured.arms} - {"small_ir"}


def test_accuracy_is_measured_through_each_arm(trained: Path, measured: bench_result.Bench) -> None:
    manifests = {s: tiny.manifest(trained / "runs", s)["metrics"] for s in ("teacher", "small")}
    for arm in measured.arms:
        assert arm.accuracy is not None
        assert (arm.accuracy.n, arm.accuracy.split) == (64, "validation")
        assert arm.accuracy.source == "measured"
    known = manifests["teacher"]["validation"]["accuracy"]
    for name in ("teacher:f32", "teacher_ir:f32"):
        found = measured.arm(name).accuracy
        assert found is not None and found.value == known


def test_real_lengths_and_their_source(measured: bench_result.Bench) -> None:
    (workload,) = measured.workloads
    assert workload.name == "real lengths, batch 1"
    assert workload.source == "tiny, validation"
    assert (workload.rows, workload.padding) == (64, 0.0)


def test_the_result_is_sealed_in_the_run(trained: Path, measured: bench_result.Bench) -> None:
    manifest = artifact.read(trained / "runs" / "tiny" / "bench")
    assert manifest is not None and manifest.use == "bench"
    assert set(manifest.files) == {"bench.json", "samples.npz"}
    assert "latency, real lengths, batch 1" in manifest.metrics
    assert tiny.run("verify", "--runs", trained / "runs").returncode == 0


def test_accuracy_comes_from_the_manifests_otherwise(trained: Path, tmp_path: Path) -> None:
    """Where the arm computes as it was checked; another arm is measured, if that is quick."""
    shutil.copytree(trained / "runs", tmp_path / "runs")
    run = tmp_path / "runs" / "tiny"
    shutil.copytree(run / "small_ir", run / "other_ir")
    path = run / "other_ir" / "manifest.json"

    def change(manifest: dict[str, Any]) -> None:
        manifest["stage"] = "other_ir"
        manifest["metrics"]["check"] = {"openvino_model.xml": {"matmuls": {"f8": 1}}}
        manifest["metrics"]["validation"]["accuracy"] = 0.123

    reseal.edit(path, change)
    done = tiny.run(
        "bench", run / "teacher", run / "small_ir", run / "other_ir",
        "--arms", "teacher:f32,small_ir,other_ir", *QUICK,
        "--batch", "4", "--policy", "buckets", "--json", "--out", tmp_path / "out", timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    sources = {arm["name"]: arm["accuracy"]["source"] for arm in found["arms"]}
    assert sources == {"teacher:f32": "manifest", "small_ir": "manifest", "other_ir": "measured"}
    known = {arm["name"]: arm["accuracy"]["value"] for arm in found["arms"]}
    assert known["other_ir"] == pytest.approx(known["small_ir"], abs=1 / 64)
    assert found["workloads"][0]["padding"] > 0
    assert found["run"] == str(run)


def test_a_stage_measures_what_it_needs_and_is_not_run_again(trained: Path, tmp_path: Path) -> None:
    shutil.copytree(trained / "runs", tmp_path / "runs")
    path = trained / "tiny.yaml"
    path.write_text(RECIPE.replace("DATA", str(trained / "data")) + STAGE)
    shutil.rmtree(tmp_path / "runs" / "tiny" / "bench", ignore_errors=True)
    done = tiny.run("run", path, "--runs", tmp_path / "runs", timeout=300)
    assert done.returncode == 0, done.stderr
    found = bench_result.read(tmp_path / "runs" / "tiny" / "bench")
    assert [arm.name for arm in found.arms] == ["teacher:f32", "small:f32"]
    assert found.asked.batches == [2]
    assert re.search(r"^small:f32 .*x \[", done.stdout, re.MULTILINE)
    assert f"jpqd report {tmp_path / 'runs' / 'tiny'}" in done.stderr
    again = tiny.run("run", path, "--runs", tmp_path / "runs")
    assert "bench: sealed already" in again.stderr
    refused = tiny.run(
        "run", path, "--runs", tmp_path / "runs", "--set", "stages.bench.arms=[teached]"
    )
    assert refused.returncode == 2
    assert "there is no such arm" in refused.stderr


def test_what_other_tools_make_of_a_model_runs_beside_it(trained: Path, tmp_path: Path) -> None:
    int8 = ["onnx_int8", "onnx_static", "optimum_int8"]
    arms = [f"teacher:{name}" for name in ("onnx", *int8)]
    done = tiny.run(
        "bench", "--runs", trained / "runs", "--arms", ",".join(arms), *QUICK,
        "--accuracy", "--mode", "latency", "--out", tmp_path / "out", timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = bench_result.read(tmp_path / "out")
    precisions = {arm.name: arm.precision for arm in found.arms}
    assert precisions["teacher:onnx"] == "f32"
    for name in int8:
        assert "int8" in precisions[f"teacher:{name}"], name
    base = found.arm("teacher:f32").accuracy
    exact = found.arm("teacher:onnx").accuracy
    assert base and exact and base.value == exact.value
    for name in int8:
        rounded = found.arm(f"teacher:{name}").accuracy
        assert rounded and rounded.value == pytest.approx(base.value, abs=0.1), name


def test_a_tool_that_calibrates_needs_to_know_train(trained: Path, tmp_path: Path) -> None:
    shutil.copytree(trained / "runs" / "tiny" / "teacher", tmp_path / "alone")
    (tmp_path / "alone" / "manifest.json").unlink()
    done = tiny.run(
        "bench", tmp_path / "alone", "--arms", "alone:optimum_int8", *QUICK, "--length", "8",
        "--out", tmp_path / "out",
    )  # fmt: skip
    assert done.returncode == 2
    assert "--arms alone:optimum_int8: it is calibrated on rows of train" in done.stderr
