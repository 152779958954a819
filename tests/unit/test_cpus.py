"""The CPUs and threads of a process; the machine's files are laid out in a folder for the test."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from jpqd.core import cpus
from jpqd.core.bench_result import Compiled
from jpqd.core.progress import Progress
from runtime_bench.measure.worker import Worker
from tests.helpers import tiny
from tests.helpers.leaking import Leaking, LeakingSession

QUIET = Progress(quiet=True)


class Telling(Leaking):
    """Its worker tells its environment."""

    def open(self) -> LeakingSession:
        return TellingSession(self.kept)


class TellingSession(LeakingSession):
    def compiled(self) -> Compiled:
        return Compiled(streams=None, requests=1, threads=1, properties=dict(os.environ))


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(cpus, "ROOT", tmp_path)
    return tmp_path


def put(root: Path, path: str, text: str) -> None:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(text)


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, None),
        ({"cpu.max": "max 100000"}, None),
        ({"cpu.max": "150000 100000"}, 1.5),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, None),
        ({"cpu/cpu.cfs_quota_us": "200000", "cpu/cpu.cfs_period_us": "100000"}, 2.0),
        ({"a.slice/cpu.max": "400000 100000", "a.slice/b/cpu.max": "max 100000"}, 4.0),
        ({"cpu/pod/cpu.cfs_quota_us": "50000", "cpu/pod/cpu.cfs_period_us": "100000"}, 0.5),
        ({"other/cpu.max": "100000 100000"}, None),
    ],
)
def test_the_limit_is_the_lowest_of_the_own_group_and_those_above(
    root: Path, files: dict[str, str], expected: float | None
) -> None:
    put(root, "proc/self/cgroup", "5:cpu,cpuacct:/pod\n3:memory:/other\n0::/a.slice/b\n")
    for name, text in files.items():
        put(root, f"sys/fs/cgroup/{name}", text)
    assert cpus.cgroup_limit() == expected


def test_threads_keep_to_the_control_groups_limit(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(root, "sys/fs/cgroup/cpu.max", "100000 100000")
    assert cpus.usable() == 1
    monkeypatch.delenv(cpus.THREADS)
    cpus.use(None, QUIET)
    assert os.environ[cpus.THREADS] == "1"


def test_what_the_user_set_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(cpus.THREADS, "3")
    monkeypatch.setenv(cpus.WAITING, "ACTIVE")
    monkeypatch.delenv(cpus.SPINS, raising=False)
    cpus.use(None, QUIET)
    assert (os.environ[cpus.THREADS], os.environ[cpus.WAITING]) == ("3", "ACTIVE")
    assert cpus.SPINS not in os.environ


@pytest.mark.parametrize("policy", ["ACTIVE", "PASSIVE"])
def test_a_worker_that_waits_sleeps_soon_whatever_the_user_set(
    monkeypatch: pytest.MonkeyPatch, policy: str
) -> None:
    """With ACTIVE it would spin for ever, while another arm is timed."""
    monkeypatch.setenv(cpus.WAITING, policy)
    monkeypatch.setenv(cpus.SPINS, "infinite")
    worker = Worker("arm", Telling(path="nowhere", threads=1, kept=1))
    told = worker.ask("facts")["compiled"]["latency"].properties
    assert "PATH" in told and not {cpus.WAITING, cpus.SPINS} & told.keys()
    worker.close()
    assert (os.environ[cpus.WAITING], os.environ[cpus.SPINS]) == (policy, "infinite")


def test_threads_that_wait_sleep_here_and_spin_in_children(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(cpus.WAITING, raising=False)
    monkeypatch.delenv(cpus.SPINS, raising=False)
    cpus.use(None, QUIET)
    assert (os.environ[cpus.WAITING], os.environ[cpus.SPINS]) == ("PASSIVE", "1000")
    with cpus.spinning():
        assert not {cpus.WAITING, cpus.SPINS} & os.environ.keys()
    assert os.environ[cpus.WAITING] == "PASSIVE"


def test_the_recipes_threads_compute_and_are_no_part_of_what_is_sealed(tmp_path: Path) -> None:
    """The option comes before the recipe; more threads than CPUs are worth a warning."""
    recipe = tiny.write_recipe(tmp_path, rows=80)
    runs, short = tmp_path / "runs", ("--set", "stages.teacher.epochs=0.5")
    given = ("run", recipe, "--runs", runs, *short, "--set", "threads=600")
    first = tiny.run(*given, "--threads", "3", "--until", "teacher")
    assert first.returncode == 0, first.stderr
    assert tiny.manifest(runs)["environment"]["threads"] == 3
    again = tiny.run(*given, "--until", "teacher")
    assert "teacher: sealed already" in again.stderr
    assert f"600 threads share the {len(os.sched_getaffinity(0))} CPUs" in again.stderr


def test_wrong_numbers_of_threads_are_named(tmp_path: Path) -> None:
    recipe = tiny.write_recipe(tmp_path, rows=8)
    wrong = subprocess.run(
        [sys.executable, "-m", "cli", "validate", str(recipe), "--set", "threads=0"],
        capture_output=True, text=True,
    )  # fmt: skip
    assert wrong.returncode == 2
    assert "threads: must be at least 1 (got 0)" in wrong.stderr
