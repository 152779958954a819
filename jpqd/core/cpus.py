"""The CPUs that this process may use, and the threads that compute on them."""

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from jpqd.core.progress import Progress

ROOT = Path("/")
THREADS, WAITING, SPINS = "OMP_NUM_THREADS", "OMP_WAIT_POLICY", "GOMP_SPINCOUNT"
_PATIENT = {WAITING: "PASSIVE", SPINS: "1000"}
"""A few microseconds of spinning, then sleep: the next operation often comes as soon as that."""


def usable() -> int:
    """Count the CPUs that affinity and control groups leave to this process."""
    allowed = len(os.sched_getaffinity(0))
    limit = cgroup_limit()
    return allowed if limit is None else max(1, min(allowed, int(limit)))


def use(threads: int | None, progress: Progress) -> None:
    """Set the number of threads that compute, here and in child processes.

    By default it is what the user or torchrun has set, or else one for each CPU; libraries see the
    affinity by themselves, but not the limit of a control group. Threads that wait sleep soon
    instead of spinning, so that other programs get the CPU. libgomp reads both when it is loaded:
    call this before torch is imported.
    """
    if not {WAITING, SPINS} & os.environ.keys():
        os.environ.update(_PATIENT)
    if threads is None and (THREADS in os.environ or cgroup_limit() is None):
        return
    count = usable()
    os.environ[THREADS] = str(threads or count)
    if threads:
        os.environ["MKL_DYNAMIC"] = "FALSE"  # or MKL uses no more threads than there are cores
        if threads > count:
            progress.warn(f"{threads} threads share the {count} CPUs that this process may use")
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(threads or count)


@contextlib.contextmanager
def spinning() -> Iterator[None]:
    """Start child processes whose threads spin for some milliseconds, and sleep after that.

    It is what libgomp does by itself. Nothing that the user set counts here: told to spin for
    longer, the threads of a process that waits would run while another one is timed.
    """
    kept = {name: os.environ.pop(name) for name in _PATIENT if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(kept)


def cgroup_limit() -> float | None:
    """Return the limit of this process's control groups, version 2 or 1; None without a limit."""
    limits = [limit for folder in _groups() if (limit := _limit(folder)) is not None]
    return min(limits, default=None)


def _groups() -> Iterator[Path]:
    """List the folders of control groups that count: the process's own one and all above it."""
    own = {"": "/", "cpu": "/"}
    for line in _text(ROOT / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        own |= {name: path for name in controllers.split(",") if name in own}
    for name, path in own.items():
        root = ROOT / "sys/fs/cgroup" / name
        group = Path(path.lstrip("/"))
        yield from (root / above for above in (group, *group.parents))


def _limit(folder: Path) -> float | None:
    words = _text(folder / "cpu.max").split() or [
        _text(folder / "cpu.cfs_quota_us"),
        _text(folder / "cpu.cfs_period_us"),
    ]
    if not all(words) or words[0] in ("max", "-1"):
        return None
    return int(words[0]) / int(words[1])


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def sums_overflow() -> bool:
    """Return whether this processor sums products of INT8 in 16 bits: x86 without VNNI or AMX."""
    try:
        info = Path("/proc/cpuinfo").read_text()
    except OSError:
        return False
    flags = next((line.split() for line in info.splitlines() if line.startswith("flags")), [])
    return "avx2" in flags and not {"avx_vnni", "avx512_vnni", "amx_int8"} & {*flags}
