"""The machine: the facts that decide its speed, and its load from other programs."""

import multiprocessing
import os
import time
from pathlib import Path

from jpqd.core import cpus, environment
from jpqd.core.bench_result import Host, Load

ROOT = Path("/")
_FLAGS = (
    "sse4_2", "avx2", "fma", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16", "avx512_fp16",
    "amx_tile", "amx_int8", "amx_bf16",
)  # fmt: skip
WAITING, STOLEN = 0.10, 0.02
"""A block is disturbed when for more than this share of it something waited for a processor while
other programs used that much of one, or when the hypervisor gave this share of the processors that
compute to others."""
_BUSY = (1, 2, 3, 6, 7)
"""The columns of a processor's line in /proc/stat that count: user, nice, system, irq, softirq."""
_STEAL = 8
_TICK = 1 / os.sysconf("SC_CLK_TCK")
"""The seconds of one tick, in which the kernel counts: a single one tells nothing."""
PACKAGES = ("onnxruntime",)


def describe(before: Load) -> Host:
    """Describe the machine, with its load before the first measurement and now."""
    info = _lines("proc/cpuinfo")
    flags = _field(info, "flags").split()
    versions = {name: environment.installed(name) for name in PACKAGES}
    facts = environment.environment()
    facts["packages"] |= {name: version for name, version in versions.items() if version}
    return Host(
        processor=_field(info, "model name") or "unknown",
        flags=[flag for flag in _FLAGS if flag in flags],
        cores=os.cpu_count() or 1,
        affinity=sorted(os.sched_getaffinity(0)),
        cgroup_cpus=cpus.cgroup_limit(),
        governor=_text("sys/devices/system/cpu/cpu0/cpufreq/scaling_governor") or None,
        memory_gb=_memory_gb(),
        before=before,
        after=load(),
        environment=facts,
    )


def load() -> Load:
    waiting = [line for line in _lines("proc/pressure/cpu") if line.startswith("some")]
    return Load(
        load_1min=os.getloadavg()[0],
        psi_avg10=float(waiting[0].split("avg10=")[1].split()[0]) if waiting else None,
        steal_seconds=_steal(),
    )


def computes_bf16() -> bool:
    flags = _field(_lines("proc/cpuinfo"), "flags").split()
    return "avx512_bf16" in flags or "amx_bf16" in flags


class Watch:
    """A watch on the kernel's counters before and after a block."""

    def __init__(self, threads: int) -> None:
        self.busy = min(threads, len(os.sched_getaffinity(0)))

    def begin(self) -> None:
        self.before = time.monotonic(), _waited(), _stolen(), _others()

    def disturbed(self) -> bool:
        moment, waited, steal, others = self.before
        seconds = time.monotonic() - moment
        # A kernel without these counters tells at least what others used.
        unknown = 0.0 if others is None else seconds
        waiting = unknown if waited is None else (_waited() or 0.0) - waited
        each = sorted(
            (now - then for now, then in zip(_stolen(), steal, strict=False)), reverse=True
        )
        stolen = sum(each[: self.busy])
        # Our own threads wait for each other as well, so somebody else has to be there.
        used = seconds if others is None else (_others() or 0.0) - others
        crowded = min(waiting, used) > WAITING * seconds
        return crowded or stolen > max(STOLEN * seconds * self.busy, _TICK)


def joules() -> float | None:
    """Return the energy that the processor packages used; None without readable counters."""
    try:
        zones = (ROOT / "sys/class/powercap").glob("intel-rapl:?")
        # Another zone may count the same again, as psys does with the whole platform.
        packages = [zone for zone in zones if (zone / "name").read_text().startswith("package")]
        return sum(int((p / "energy_uj").read_text()) for p in packages) / 1e6 if packages else None
    except OSError:
        return None


def _waited() -> float | None:
    """Return the seconds since boot in which something waited for a processor."""
    for line in _lines("proc/pressure/cpu"):
        if line.startswith("some"):
            return int(line.rpartition("total=")[2]) / 1e6
    return None


def _steal() -> float | None:
    lines = _lines("proc/stat")
    return int(lines[0].split()[_STEAL]) / os.sysconf("SC_CLK_TCK") if lines else None


def _stolen() -> list[float]:
    """Return the seconds that the hypervisor gave to others of each processor that we may use."""
    return [int(words[_STEAL]) / os.sysconf("SC_CLK_TCK") for words in _own_lines()]


def _own_lines() -> list[list[str]]:
    """Return the columns of /proc/stat of the processors that we may use."""
    ours = {f"cpu{number}" for number in os.sched_getaffinity(0)}
    return [words for line in _lines("proc/stat") if (words := line.split())[0] in ours]


def _others() -> float | None:
    """Return the seconds that other programs used of the processors that we may use."""
    lines = _own_lines()
    if not lines:
        return None
    busy = sum(int(words[place]) for words in lines for place in _BUSY)
    children = [child.pid for child in multiprocessing.active_children() if child.pid]
    return (busy - sum(map(_used, [os.getpid(), *children]))) / os.sysconf("SC_CLK_TCK")


def _used(pid: int) -> int:
    """Return the ticks of a process with its threads; its name may hold spaces and brackets."""
    words = _text(f"proc/{pid}/stat").rpartition(")")[2].split()
    return int(words[11]) + int(words[12]) if words else 0


def _memory_gb() -> float | None:
    words = _field(_lines("proc/meminfo"), "MemTotal").split()
    return round(int(words[0]) * 1024 / 1e9, 1) if words else None


def _field(lines: list[str], name: str) -> str:
    values = [
        line.partition(":")[2].strip() for line in lines if line.split(":")[0].strip() == name
    ]
    return values[0] if values else ""


def _lines(path: str) -> list[str]:
    return _text(path).splitlines()


def _text(path: str) -> str:
    try:
        return (ROOT / path).read_text().strip()
    except OSError:
        return ""
