"""The machine as its own files describe it: laid out in a folder for the test."""

from pathlib import Path

import pytest

from runtime_bench import host


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(host, "ROOT", tmp_path)
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
    ],
)
def test_the_control_groups_limit(
    root: Path, files: dict[str, str], expected: float | None
) -> None:
    for name, text in files.items():
        put(root, f"sys/fs/cgroup/{name}", text)
    assert host.cgroup_cpus() == expected


def test_threads_keep_to_the_control_groups_limit(root: Path) -> None:
    put(root, "sys/fs/cgroup/cpu.max", "100000 100000")
    assert host.threads() == 1


def test_energy_is_the_sum_of_the_packages_or_unknown(root: Path) -> None:
    assert host.joules() is None
    put(root, "sys/class/powercap/intel-rapl:0/energy_uj", "2500000\n")
    put(root, "sys/class/powercap/intel-rapl:1/energy_uj", "500000\n")
    put(root, "sys/class/powercap/intel-rapl:0:0/energy_uj", "1\n")  # a part of package 0
    assert host.joules() == pytest.approx(3.0)


def test_a_block_is_disturbed_when_others_had_the_processors(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = iter([10.0, 12.0, 20.0, 22.0])
    monkeypatch.setattr("runtime_bench.host.time.monotonic", lambda: next(now))
    watch = host.Watch()
    for waited, expected in ((0.1, False), (0.9, True)):
        put(root, "proc/pressure/cpu", "some avg10=1.0 avg60=0 avg300=0 total=5000000\n")
        watch.begin()
        total = 5_000_000 + int(waited * 1e6)
        put(root, "proc/pressure/cpu", f"some avg10=1.0 avg60=0 avg300=0 total={total}\n")
        assert watch.disturbed() is expected


def test_a_machine_that_tells_nothing_is_described_all_the_same(root: Path) -> None:
    described = host.describe(host.load())
    assert described.processor == "unknown"
    assert described.before.psi_avg10 is None
    assert described.governor is None
