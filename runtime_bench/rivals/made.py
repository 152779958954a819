"""Runs a module that makes another tool's model of a folder, and says why it could not."""

import subprocess
import sys
from tempfile import TemporaryDirectory

from jpqd.core.errors import RunError


def made(module: str, folder: str, *more: str) -> "TemporaryDirectory[str]":
    """Return the folder with the model, which is there as long as the object is."""
    out = TemporaryDirectory()
    command = [sys.executable, "-m", f"runtime_bench.rivals.{module}", folder, out.name, *more]
    done = subprocess.run(command, capture_output=True, text=True)  # noqa: S603 (our own module)
    if done.returncode:
        reason = done.stderr.strip().splitlines()[-1:] or ["no reason given"]
        raise RunError(f"{folder}: {module} cannot make a model of it: {reason[0]}")
    return out
