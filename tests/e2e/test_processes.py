"""Several processes give what one gives, and only the first of them writes."""

import os
import signal
import socket
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from tests.helpers import tiny

NO_DROPOUT = ("--set", "stages.teacher.dropout=0.0", "--set", "stages.teacher.precision=f32")


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def launch() -> list[str]:
    two = [tiny.PYTHON, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    return [*two, "--master-addr", "127.0.0.1", "--master-port", str(free_port())]


def children(parent: int) -> list[int]:
    lists = Path(f"/proc/{parent}/task").glob("*/children")
    return [int(child) for found in lists for child in found.read_text().split()]


def torchrun(recipe: Path, runs: Path, *more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*launch(), "-m", "cli", "run", str(recipe), "--runs", str(runs), *more],
        env=tiny.environment(),
        capture_output=True,
        text=True,
        timeout=240,
    )


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, str]:
    folder = tmp_path_factory.mktemp("both")
    recipe = tiny.write_recipe(folder)
    one = tiny.run("run", recipe, "--runs", folder / "one", *NO_DROPOUT)
    two = torchrun(recipe, folder / "two", *NO_DROPOUT)
    assert one.returncode == 0, one.stderr
    assert two.returncode == 0, two.stderr
    return folder / "one", folder / "two", two.stderr + two.stdout


def test_two_processes_refuse_to_solve_projections_again(tmp_path: Path) -> None:
    recipe = tiny.write_recipe(tmp_path)
    prune = "stages.teacher.methods=[{use: prune, keep: 0.5, schedule: one_shot, score: surgeon}]"
    done = torchrun(recipe, tmp_path / "runs", "--set", prune, "--until", "teacher")
    assert done.returncode != 0
    assert "score: surgeon: several processes cut the model at the end" in done.stderr


def test_two_processes_end_with_the_same_logits_and_metrics(both: tuple[Path, Path, str]) -> None:
    one, two, _ = both
    logits = [
        load_file(runs / "tiny" / stage / "predictions.safetensors")["logits"]
        for stage in ("teacher", "check")
        for runs in (one, two)
    ]
    np.testing.assert_allclose(logits[0], logits[1], atol=2e-4)
    np.testing.assert_allclose(logits[2], logits[3], atol=2e-4)
    for stage in ("teacher", "check"):
        first, second = (tiny.manifest(runs, stage)["metrics"] for runs in (one, two))
        for split in first.keys() - {"train"}:
            assert first[split] == second[split]
    assert tiny.manifest(two)["environment"]["processes"] == 2


def test_only_the_first_of_two_processes_writes_and_speaks(both: tuple[Path, Path, str]) -> None:
    one, two, output = both
    names = [
        sorted(path.relative_to(runs).as_posix() for path in runs.glob("tiny/[!.]*/*"))
        for runs in (one, two)
    ]
    assert names[0] == names[1]
    assert output.count("[1/2] teacher: train") == 1
    assert output.count("accuracy 0") >= 2
    assert tiny.run("verify", "--runs", two).returncode == 0


def test_two_killed_processes_go_on_to_the_same_weights(
    both: tuple[Path, Path, str], tmp_path: Path
) -> None:
    recipe = both[0].parent / "tiny.yaml"
    process = subprocess.Popen(
        [*launch(), "-m", "cli", "run", recipe, "--runs", tmp_path, *NO_DROPOUT],
        env=tiny.environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    checkpoints = tmp_path / "tiny" / ".work"
    while process.poll() is None and not list(checkpoints.glob("*/step-1[0-9]/manifest.json")):
        time.sleep(0.01)
    for worker in children(process.pid):
        os.kill(worker, signal.SIGKILL)
    process.wait()
    done = torchrun(recipe, tmp_path, *NO_DROPOUT)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("goes on from checkpoint step-1") == 1
    assert tiny.weights(tmp_path) == tiny.weights(both[1])


def test_a_batch_that_cannot_be_shared_is_refused(tmp_path: Path) -> None:
    recipe = tiny.write_recipe(tmp_path, rows=64)
    done = torchrun(recipe, tmp_path / "runs", "--set", "stages.teacher.batch_size=15")
    assert done.returncode != 0
    assert "batch_size 15 cannot be shared equally among 2 processes" in done.stderr


def test_micro_batches_that_cannot_be_shared_are_refused(tmp_path: Path) -> None:
    """12 rows for each of two processes are no whole number of micro-batches of 8."""
    recipe = tiny.write_recipe(tmp_path, rows=64)
    sizes = ("--set", "stages.teacher.batch_size=24", "--set", "stages.teacher.micro_batch=8")
    done = torchrun(recipe, tmp_path / "runs", *sizes)
    assert done.returncode != 0
    assert "cannot be shared equally among 2 processes in micro-batches of 8" in done.stderr


BARRIER = """
import sys, time
from pathlib import Path
from jpqd.core import processes
for turn in range(50):
    mark = Path(sys.argv[1]) / str(turn)
    if processes.is_main():
        time.sleep(0.002)
        mark.touch()
    processes.barrier()
    assert mark.exists(), f"process {processes.rank()} did not wait in turn {turn}"
import torch
group = torch.distributed.group.WORLD._get_backend(torch.device("cpu"))
assert group.options._timeout.total_seconds() >= 12 * 3600, group.options._timeout
"""


def test_the_second_process_waits_for_the_first(tmp_path: Path) -> None:
    script = tmp_path / "barrier.py"
    script.write_text(BARRIER)
    done = subprocess.run(
        [*launch(), str(script), str(tmp_path)], env=tiny.environment(), capture_output=True
    )
    assert done.returncode == 0, done.stderr.decode()
