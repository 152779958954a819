"""The machine as its own files describe it: laid out in a folder for the test."""

import os
from pathlib import Path
from typing import Any

import pytest

from runtime_bench.machine import host


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(host, "ROOT", tmp_path)
    return tmp_path


def put(root: Path, path: str, text: str) -> None:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(text)


def test_energy_is_the_sum_of_the_packages_or_unknown(root: Path) -> None:
    assert host.joules() is None
    zones = {"0": ("package-0", 2_500_000), "1": ("package-1", 500_000), "2": ("psys", 9_000_000),
             "0:0": ("core", 1)}  # fmt: skip
    for number, (name, energy) in zones.items():
        put(root, f"sys/class/powercap/intel-rapl:{number}/name", f"{name}\n")
        put(root, f"sys/class/powercap/intel-rapl:{number}/energy_uj", f"{energy}\n")
    assert host.joules() == pytest.approx(3.0)


def watched(
    root: Path,
    waited: float | None,
    busy: float,
    ours: float,
    steal: float = 0,
    elsewhere: float = 0,
) -> bool:
    """A block of two seconds, in which all of these were seconds; two threads computed."""
    processors = sorted(os.sched_getaffinity(0))
    watch = host.Watch(2)
    for done in (0, 1):
        if waited is not None:
            told = f"some avg10=1 total={int(5e6 + done * waited * 1e6)}\n"
            put(root, "proc/pressure/cpu", told)
        ticks = [int(1000 + done * 100 * each) for each in (busy, ours, steal, elsewhere)]
        lines = [f"cpu  0 0 0 0 0 0 0 {ticks[2] + ticks[3]} 0 0"]
        lines += [f"cpu{processors[0]} {ticks[0]} 0 0 0 0 0 0 {ticks[2]} 0 0"]
        lines += [f"cpu{processors[-1] + 1} 0 0 0 0 0 0 0 {ticks[3]} 0 0"]
        put(root, "proc/stat", "\n".join(lines))
        put(root, f"proc/{os.getpid()}/stat", f"1 (a name) b) S {'0 ' * 10}{ticks[1]} 0 0")
        if not done:
            watch.begin()
    return watch.disturbed()


@pytest.mark.parametrize(
    ("seconds", "disturbed"),
    [
        ({"waited": 0.1, "busy": 1.9, "ours": 1.0}, False),
        ({"waited": 0.9, "busy": 1.9, "ours": 1.0}, True),
        ({"waited": 0.9, "busy": 1.9, "ours": 1.85}, False),  # our own threads waited
        ({"waited": 0.0, "busy": 1.9, "ours": 1.9, "steal": 0.5}, True),
        ({"waited": 0.0, "busy": 1.9, "ours": 1.9, "elsewhere": 1.5}, False),
        ({"waited": None, "busy": 1.9, "ours": 1.0}, True),  # a kernel without this counter
        ({"waited": None, "busy": 1.9, "ours": 1.85}, False),
    ],
)
def test_a_block_is_disturbed_when_others_had_the_processors(
    root: Path, monkeypatch: pytest.MonkeyPatch, seconds: dict[str, Any], disturbed: bool
) -> None:
    now = iter([10.0, 12.0])
    monkeypatch.setattr("runtime_bench.machine.host.time.monotonic", lambda: next(now))
    monkeypatch.setattr("runtime_bench.machine.host.os.cpu_count", lambda: 64)
    assert watched(root, **seconds) is disturbed


@pytest.mark.parametrize(("most", "disturbed"), [(3, False), (9, True)])
def test_only_as_many_processors_count_as_compute(
    root: Path, monkeypatch: pytest.MonkeyPatch, most: int, disturbed: bool
) -> None:
    """A little is taken from each of 64, of which one computes."""
    monkeypatch.setattr("runtime_bench.machine.host.os.sched_getaffinity", lambda _: {*range(64)})
    now = iter([10.0, 12.0])
    monkeypatch.setattr("runtime_bench.machine.host.time.monotonic", lambda: next(now))
    put(root, "proc/pressure/cpu", "some avg10=0 total=5")

    def taken(ticks: int) -> None:
        lines = [
            f"cpu{one} 0 0 0 0 0 0 0 {min(ticks, most if one else 3)} 0 0" for one in range(64)
        ]
        put(root, "proc/stat", "\n".join(lines))

    watch = host.Watch(1)
    taken(0)
    watch.begin()
    taken(100)
    assert watch.disturbed() is disturbed


def test_a_machine_that_tells_nothing_is_described_all_the_same(root: Path) -> None:
    described = host.describe(host.load())
    assert described.processor == "unknown"
    assert described.before.psi_avg10 is None
    assert described.governor is None
