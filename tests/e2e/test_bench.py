"""`jpqd bench` on real models and real processes: what is written, and what is refused."""

import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest

from jpqd.core import bench_result
from jpqd.core.bench_result import Bench
from tests.helpers import irs, small, tiny

QUICK = ("--seconds", "2", "--blocks", "5", "--threads", "1")


@pytest.fixture(scope="module")
def ir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return irs.convert(small.model(), tmp_path_factory.mktemp("irs") / "small_ir")


@pytest.fixture
def copy(ir: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(ir, tmp_path / "small_ir"))


def bench(
    *arguments: object, out: Path, options: tuple[str, ...] = QUICK
) -> subprocess.CompletedProcess[str]:
    return tiny.run("bench", *arguments, "--out", out, *options, timeout=300)


def refused(found: subprocess.CompletedProcess[str], code: int = 2) -> str:
    assert found.returncode == code, found.stderr
    assert "Traceback" not in found.stderr
    return found.stderr


def test_folders_are_measured_on_the_same_requests(ir: Path, copy: Path, tmp_path: Path) -> None:
    other = copy.rename(copy.with_name("other_ir"))
    found = bench(ir, other, "--length", 16, "--batch", "1,4", out=tmp_path / "out")
    assert found.returncode == 0, found.stderr
    made = bench_result.read(tmp_path / "out")
    assert made.complete
    assert [arm.name for arm in made.arms] == ["small_ir", "small_ir:f32", "other_ir"]
    assert made.baseline == "small_ir"
    assert [(m.mode, m.workload) for m in made.measurements] == [
        (mode, f"length 16, batch {batch}")
        for batch in (1, 4)
        for mode in ("latency", "throughput")
    ]
    latency = made.measurements[0]
    counts = {f.latency_ms.n for f in latency.arms.values() if f.latency_ms}
    assert counts == {latency.blocks * latency.requests_per_block}
    assert all(f.overhead_us and f.overhead_us < 1000 for f in latency.arms.values())
    assert "small_ir:f32" in found.stdout and "baseline" in found.stdout
    check_samples(made, tmp_path / "out")


def check_samples(made: Bench, folder: Path) -> None:
    """The raw times give the percentiles again."""
    samples = np.load(folder / bench_result.SAMPLES)
    chosen = (samples["measurement"] == 0) & (samples["arm"] == 0)
    assert samples["arms"].tolist() == [arm.name for arm in made.arms]
    latency = made.measurements[0].arms["small_ir"].latency_ms
    assert latency is not None and latency.p50.value is not None
    times = np.sort(samples["milliseconds"][chosen])
    assert len(times) == latency.n
    assert latency.p50.value == times[-(-len(times) // 2) - 1]


def test_precision_is_what_really_runs(ir: Path, tmp_path: Path) -> None:
    """f32 is f32 whatever the processor could do; memory is this process's own."""
    found = bench(ir, "--length", 8, "--mode", "latency", "--json", out=tmp_path / "out")
    assert found.returncode == 0, found.stderr
    made = json.loads(found.stdout)
    default, forced = made["arms"]
    assert forced["precision"] == "f32"
    assert forced["compiled"]["latency"]["properties"]["DYNAMIC_QUANTIZATION_GROUP_SIZE"] == "0"
    assert default["precision"] in ("f32", "bf16")
    assert forced["compiled"]["latency"]["threads"] == made["asked"]["threads"] == 1
    assert 10 < forced["peak_rss_mb"] < 400
    assert forced["compile_cached_seconds"] is not None
    p99 = made["measurements"][0]["arms"]["small_ir"]["latency_ms"]["p99"]
    assert (p99["value"] is None) == (p99["needs"] == 299)


def test_the_open_loop_offers_a_share_of_the_capacity(ir: Path, tmp_path: Path) -> None:
    options = ("--length", 8, "--mode", "latency", "--rate", "--policy", "multiple8")
    found = bench(ir, *options, out=tmp_path / "out")
    assert found.returncode == 0, found.stderr
    made = bench_result.read(tmp_path / "out")
    served = [m for m in made.measurements if m.mode == "open_loop"]
    capacity = next(m for m in made.measurements if m.mode == "throughput")
    assert [m.rate for m in served] == [0.5, 0.7, 0.9]
    for measurement in served:
        for name, figures in measurement.arms.items():
            rows = capacity.arms[name].rows_per_second.value
            assert figures.offered_per_second == pytest.approx(measurement.rate * rows)
            assert figures.latency_ms and figures.latency_ms.p50.value
            assert figures.speedup is None
    assert "open loop" in found.stdout


def measuring(ir: Path, out: Path) -> subprocess.Popen[str]:
    """A long benchmark that has begun to measure, and leads a group."""
    options = ("--length", "8", "--seconds", "600", "--blocks", "600", "--threads", "1")
    process = subprocess.Popen(
        tiny.command("bench", ir, "--out", out, *options),
        env=tiny.environment(), text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        start_new_session=True,
    )  # fmt: skip
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("latency"):
            break
    return process


def test_workers_go_without_a_word_when_their_parent_is_killed(ir: Path, tmp_path: Path) -> None:
    process = measuring(ir, tmp_path / "out")
    time.sleep(3)  # into a block, so that a worker has an answer to send
    process.kill()
    assert "Traceback" not in process.communicate(timeout=60)[1]
    assert nobody_left(process.pid)


def test_ctrl_c_keeps_what_was_measured(ir: Path, tmp_path: Path) -> None:
    """As a terminal sends it: to every process of the group."""
    process = measuring(ir, tmp_path / "out")
    time.sleep(8)
    os.killpg(process.pid, signal.SIGINT)
    err = process.communicate(timeout=60)[1]
    assert process.returncode == 130, err
    assert "holds what was measured before" in err and "Traceback" not in err
    made = bench_result.read(tmp_path / "out")
    assert not made.complete
    assert 0 < made.measurements[0].blocks < 600
    assert made.measurements[0].arms["small_ir"].latency_ms is not None
    assert "interrupted: the figures are of the blocks measured before that" in err
    assert nobody_left(process.pid)


def test_ctrl_c_ends_the_program_that_makes_an_arm(tmp_path: Path) -> None:
    made = f"Making(path={str(tmp_path)!r}, threads=1, kept=1)"
    code = (
        "from runtime_bench.measure.worker import Worker; from tests.helpers.making import Making; "
        f"Worker('arm', {made})"
    )
    process = subprocess.Popen(
        [tiny.PYTHON, "-c", code], stderr=subprocess.PIPE, start_new_session=True
    )
    while not (tmp_path / "begun").exists():
        assert process.poll() is None
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGINT)
    process.communicate(timeout=30)
    assert nobody_left(process.pid)
    assert [path.name for path in tmp_path.iterdir()] == ["begun"]


def nobody_left(group: int) -> bool:
    """Within ten seconds: multiprocessing's own tracker ends after its parent."""
    for _ in range(100):
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.1)
    return False


def test_a_device_that_is_not_there(ir: Path, tmp_path: Path) -> None:
    said = refused(bench(ir, "--length", 8, "--device", "NPU", out=tmp_path / "out"))
    assert "OpenVINO finds no NPU here, but CPU" in said
    assert "Install the Intel NPU driver" in said


def test_weights_that_are_missing_or_cut_short(copy: Path, tmp_path: Path) -> None:
    weights = copy / "openvino_model.bin"
    weights.write_bytes(weights.read_bytes()[:1000])
    said = refused(bench(copy, "--length", 8, out=tmp_path / "out"))
    assert "openvino_model.xml cannot be read with its .bin" in said
    weights.unlink()
    said = refused(bench(copy, "--length", 8, out=tmp_path / "out"))
    assert f"{weights} is missing. Export the IR again." in said
    assert not (tmp_path / "out").exists()


def test_a_graph_that_is_cut_short(copy: Path, tmp_path: Path) -> None:
    graph = copy / "openvino_model.xml"
    graph.write_text(graph.read_text()[:2000])
    assert str(graph) in refused(bench(copy, "--length", 8, out=tmp_path / "out"))


def test_an_ir_that_reads_something_else(ir: Path, tmp_path: Path) -> None:
    pixels = irs.with_input("pixels", tmp_path / "pixels")
    shutil.copy(ir / "config.json", pixels)
    said = refused(bench(pixels, "--length", 8, out=tmp_path / "out"))
    assert "its inputs are pixels" in said and "feeds input_ids" in said


def test_a_folder_without_rows_says_what_to_give(ir: Path, tmp_path: Path) -> None:
    said = refused(bench(ir, out=tmp_path / "out"))
    assert "--length 128" in said and "--texts FILE" in said
    said = refused(bench(tmp_path, "--length", 8, out=tmp_path / "out"))
    assert "neither an IR" in said


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--gate", "speedup"), "not a comparison"),
        (("--gate", "other.speedup>=1"), "no arm 'other'"),
        (("--gate", "slower<=0"), "Give --against"),
        (("--against", "none.json"), "none.json cannot be read"),
        (("--arms", "small_ir:f16"), "did you mean 'small_ir:f32'"),
        (("--baseline", "teacher"), "--baseline teacher: not one of"),
        (("--batch", "1,x"), "--batch: "),
        (("--mode", "speed"), "--mode: "),
        (("--length", "65"), "the model takes 64 tokens, but the requests have 65"),
    ],
)
def test_mistakes_are_named_before_anything_is_measured(
    ir: Path, tmp_path: Path, options: tuple[str, ...], said: str
) -> None:
    given = options if "--length" in options else (*options, "--length", "8")
    assert said in refused(bench(ir, *given, out=tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_gates_and_an_earlier_result(ir: Path, tmp_path: Path) -> None:
    """The same model is never 50 times as fast as itself."""
    latency = ("--length", 8, "--mode", "latency")
    first = bench(ir, *latency, "--gate", "small_ir:f32.speedup>=50", out=tmp_path / "old")
    said = refused(first, code=1)
    assert "speedup>=50: small_ir:f32: " in said and "[" in said.split("small_ir:f32: ")[-1]
    path = tmp_path / "edited.json"
    old = json.loads((tmp_path / "old" / "bench.json").read_text())
    figures = old["measurements"][0]["arms"]["small_ir:f32"]
    figures["speedup"] = {"value": 900.0, "low": 890.0, "high": 910.0, "needs": None}
    path.write_text(json.dumps(old))
    (tmp_path / "old" / "bench.json").write_text(json.dumps(old))
    edited = bench(ir, *latency, "--against", tmp_path / "old", out=tmp_path / "new")
    assert "old is damaged: bench.json: " in refused(edited)
    again = (*latency, "--against", path)
    second = bench(ir, *again, out=tmp_path / "new")
    assert second.returncode == 0, second.stderr
    assert "slower: small_ir:f32, latency, length 8, batch 1: 900x" in second.stderr
    refused(bench(ir, *again, "--gate", "slower<=0", out=tmp_path / "new"), code=1)


def test_only_a_benchmark_is_ever_replaced(ir: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years")
    said = refused(bench(ir, "--length", 8, out=tmp_path / "mine"))
    assert "exists and is not a benchmark" in said
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "years"


def test_a_worker_that_dies_is_named(ir: Path, tmp_path: Path) -> None:
    process = tiny.start(
        "bench", ir, "--length", 8, "--out", tmp_path / "out", "--seconds", 600, "--threads", 1
    )
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("latency"):
            break
    workers = [pid for pid in children(process.pid) if b"spawn_main" in command_line(pid)]
    os.kill(workers[0], signal.SIGKILL)
    err = process.communicate(timeout=60)[1]
    assert process.returncode == 1
    assert "small_ir: its process ended with code -9" in err and "Traceback" not in err


def children(parent: int) -> list[int]:
    lists = Path(f"/proc/{parent}/task").glob("*/children")
    return [int(child) for found in lists for child in found.read_text().split()]


def command_line(pid: int) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes()
