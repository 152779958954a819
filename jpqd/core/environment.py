"""The software and the machine that produced a result."""

import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from jpqd.core import processes

_PACKAGES = (
    "jpqd", "torch", "transformers", "accelerate", "datasets", "tokenizers", "nncf", "openvino",
    "optimum-intel", "numpy",
)  # fmt: skip


def environment() -> dict[str, Any]:
    """Return versions, processor and threads, which explain why a number differs elsewhere."""
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": _threads(),
        "processes": processes.world_size(),
        "packages": {package: installed(package) for package in _PACKAGES},
    }


def installed(package: str) -> str | None:
    """Return a package's version without importing it."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _threads() -> int | None:
    """Return the number of torch's threads: results are identical only for the same number."""
    torch = sys.modules.get("torch")
    return torch.get_num_threads() if torch else None


def _processor() -> str:
    try:
        with open("/proc/cpuinfo") as lines:
            names = [line.split(":", 1)[1].strip() for line in lines if "model name" in line]
        return names[0]
    except (OSError, IndexError):
        return platform.processor() or "unknown"
