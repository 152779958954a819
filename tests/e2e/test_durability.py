"""Kills, Ctrl-C, a second run, a full disk, a torn checkpoint: nothing is lost."""

import json
import random
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.helpers import tiny

KILLS = 5
STEPS = 57
SECONDS: dict[str, float] = {}


Result = tuple[str, list[float]]
"""The hash of the weights, and the loss of every step: one differing step shows in one of them."""


def result(runs: Path) -> Result:
    history = json.loads((runs / "tiny" / "teacher" / "history.json").read_text())
    losses = [entry["loss"] for entry in history if "loss" in entry]
    assert len(losses) == STEPS
    return tiny.weights(runs), losses


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result]:
    """A recipe, and how it ends when nothing happens."""
    folder = tmp_path_factory.mktemp("uninterrupted")
    recipe = tiny.write_recipe(folder)
    started = time.monotonic()
    done = tiny.run("run", recipe, "--runs", folder / "runs")
    SECONDS["uninterrupted"] = time.monotonic() - started
    assert done.returncode == 0, done.stderr
    return recipe, result(folder / "runs")


def checkpoints(runs: Path) -> list[Path]:
    found = runs.glob("tiny/.work/teacher-*/step-*/manifest.json")
    return sorted((path.parent for path in found), key=lambda path: int(path.name[5:]))


def wait_for_checkpoint(process: subprocess.Popen[str], runs: Path, least: int = 1) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        if any(int(path.name[5:]) >= least for path in checkpoints(runs)):
            return
        time.sleep(0.005)
    raise AssertionError(f"no checkpoint: {process.communicate()}")


def stopped(recipe: Path, runs: Path, signum: signal.Signals, least: int) -> list[Path]:
    """The checkpoints of a run that was stopped once it had saved that step."""
    process = tiny.start("run", recipe, "--runs", runs)
    wait_for_checkpoint(process, runs, least=least)
    process.send_signal(signum)
    process.communicate()
    return checkpoints(runs)


def test_kills_at_random_moments_do_not_change_the_weights(
    uninterrupted: tuple[Path, Result], tmp_path: Path
) -> None:
    recipe, expected = uninterrupted
    moments, continued = random.Random(11), 0
    for kill in range(KILLS):
        reached = max((int(path.name[5:]) for path in checkpoints(tmp_path)), default=0)
        process = tiny.start("run", recipe, "--runs", tmp_path)
        if kill % 2:  # some steps further, in the middle of a step, an evaluation or a checkpoint
            wait_for_checkpoint(process, tmp_path, least=reached + moments.randint(1, 9))
            time.sleep(moments.uniform(0, 0.05))
        else:  # any moment of the start: imports, data, tokenizer, the first steps
            time.sleep(moments.uniform(0.1, 0.35) * SECONDS["uninterrupted"])
        assert process.poll() is None, f"it ended by itself: {process.communicate()}"
        process.send_signal(signal.SIGKILL)
        continued += "goes on from checkpoint" in process.communicate()[1]
    done = tiny.run("run", recipe, "--runs", tmp_path)
    assert done.returncode == 0, done.stderr
    assert continued >= 1
    assert result(tmp_path) == expected
    assert tiny.run("verify", "--runs", tmp_path).returncode == 0


def test_a_kill_while_the_result_is_written_costs_nothing(
    uninterrupted: tuple[Path, Result], tmp_path: Path
) -> None:
    recipe, expected = uninterrupted
    process = tiny.start("run", recipe, "--runs", tmp_path)
    partial = tmp_path / "tiny" / "teacher.partial" / "model.safetensors"
    while not partial.exists() and process.poll() is None:
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert not (tmp_path / "tiny" / "teacher" / "manifest.json").exists()
    done = tiny.run("run", recipe, "--runs", tmp_path)
    assert done.returncode == 0, done.stderr
    assert result(tmp_path) == expected
    assert not list((tmp_path / "tiny").glob("*.partial"))


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_saves_at_the_step_boundary_and_the_rest_is_the_same(
    uninterrupted: tuple[Path, Result], tmp_path: Path, signum: signal.Signals, code: int
) -> None:
    recipe, expected = uninterrupted
    rare = ("--set", "checkpoint_minutes=60")  # so that only the signal can cause the checkpoint
    process = tiny.start("run", recipe, "--runs", tmp_path, *rare)
    wait_for_checkpoint(process, tmp_path)  # the one that the first evaluation makes
    time.sleep(0.05)
    process.send_signal(signum)
    error = process.communicate(timeout=60)[1]
    assert process.returncode == code, error
    assert "run again to continue" in error
    assert "Traceback" not in error
    saved = checkpoints(tmp_path)[-1]
    assert f"saved at step {saved.name[5:]} of" in error
    done = tiny.run("run", recipe, "--runs", tmp_path, *rare)
    assert f"goes on from checkpoint {saved.name}" in done.stderr
    assert result(tmp_path) == expected


def test_a_second_signal_ends_the_process_at_once() -> None:
    script = (
        "import time; from jpqd.core import interrupts; interrupts.install()\n"
        "with interrupts.deferred(): print('in', flush=True); time.sleep(1); time.sleep(60)"
    )
    process = subprocess.Popen([tiny.PYTHON, "-c", script], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(signal.SIGINT)
    time.sleep(0.3)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=5) == 130


def test_a_torn_checkpoint_is_set_aside_and_the_one_before_it_is_used(
    uninterrupted: tuple[Path, Result], tmp_path: Path
) -> None:
    recipe, expected = uninterrupted
    before, newest = stopped(recipe, tmp_path, signal.SIGKILL, least=12)[-2:]
    optimizer = newest / "optimizer.pt"
    optimizer.write_bytes(optimizer.read_bytes()[:-100])
    incomplete = newest.with_name("step-9999")
    incomplete.mkdir()
    done = tiny.run("run", recipe, "--runs", tmp_path)
    assert done.returncode == 0, done.stderr
    assert f"checkpoint {newest.name} is not whole (optimizer.pt" in done.stderr
    assert "checkpoint step-9999 is not whole" in done.stderr
    assert f"goes on from checkpoint {before.name}" in done.stderr
    assert result(tmp_path) == expected


def test_a_second_run_in_the_same_folder_stops_at_once_and_names_the_first(
    uninterrupted: tuple[Path, Result], tmp_path: Path
) -> None:
    recipe, _ = uninterrupted
    first = tiny.start("run", recipe, "--runs", tmp_path)
    try:
        wait_for_checkpoint(first, tmp_path)
        second = tiny.run("run", recipe, "--runs", tmp_path)
        assert first.poll() is None
    finally:
        first.kill()
        first.communicate()
    assert second.returncode == 2
    assert f"in use by process {first.pid} on " in second.stderr
    assert "Traceback" not in second.stderr


def test_a_full_disk_is_a_clear_error_and_the_earlier_checkpoint_goes_on(
    uninterrupted: tuple[Path, Result], tmp_path: Path
) -> None:
    recipe, expected = uninterrupted
    saved = stopped(recipe, tmp_path, signal.SIGINT, least=5)[-1]
    failed = run_on_full_disk(recipe, tmp_path)
    assert failed.returncode == 1, failed.stderr
    assert failed.stderr.count("no room to write") == 1
    assert "The earlier checkpoint is intact." in failed.stderr
    assert "Traceback" not in failed.stderr
    assert saved in checkpoints(tmp_path)
    done = tiny.run("run", recipe, "--runs", tmp_path)
    assert f"goes on from checkpoint {saved.name}" in done.stderr
    assert result(tmp_path) == expected


def run_on_full_disk(recipe: Path, runs: Path) -> subprocess.CompletedProcess[str]:
    """The run on a small file system of its own, or where none may be mounted, with short files."""
    jpqd = " ".join(tiny.command("run", recipe, "--runs", runs))
    copy, size = (
        runs.with_name("copy"),
        100 + sum(f.stat().st_size for f in runs.rglob("*")) // 1024,
    )
    shutil.copytree(runs, copy)
    mounted = f"mount -t tmpfs -o size={size}k tmpfs {runs} && cp -r {copy}/. {runs} && exec {jpqd}"
    limited = f"ulimit -f 40 && exec {jpqd}"
    for shell in (["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", mounted],
                  ["bash", "-c", limited]):  # fmt: skip
        if shutil.which(shell[0]):
            done = subprocess.run(shell, env=tiny.environment(), capture_output=True, text=True)
            if "goes on from checkpoint" in done.stderr:
                return done
    raise AssertionError(done.stderr)
