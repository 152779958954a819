"""A command that trains starts again with another allocator, once, and its children do not."""

import json
import os
import subprocess
import sys
from typing import Any

import pytest

SCRIPT = """
import json, os, subprocess, sys
from jpqd.core import allocator
allocator._LIBRARIES = ("libnot_there.so.4", "libm.so.6")  # which every system has
allocator.use()
child = subprocess.run(["env"], capture_output=True, text=True).stdout
print(json.dumps({"pid": os.getpid(), "argv": sys.argv, "chosen": os.environ.get("JPQD_ALLOCATOR"),
                  "child": [line for line in child.splitlines() if line.startswith("LD_PRELOAD")]}))
"""


def started(**environment: str) -> dict[str, Any]:
    kept = {name: value for name, value in os.environ.items()
            if name not in ("LD_PRELOAD", "JPQD_ALLOCATOR")}  # fmt: skip
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, "run", "a recipe.yaml"],
        env={**kept, **environment},
        stdout=subprocess.PIPE,
        text=True,
    )
    said, _ = process.communicate(timeout=60)
    found: dict[str, Any] = json.loads(said)
    assert found["pid"] == process.pid
    assert found["argv"][1:] == ["run", "a recipe.yaml"]
    return found


@pytest.mark.skipif(sys.platform != "linux", reason="LD_PRELOAD is Linux's")
def test_a_process_starts_again_with_what_is_there() -> None:
    found = started()
    assert (found["chosen"], found["child"]) == ("libm.so.6", [])


def test_what_somebody_chose_stays() -> None:
    assert started(JPQD_ALLOCATOR="system")["chosen"] == "system"
    found = started(LD_PRELOAD="libc.so.6")
    assert (found["chosen"], found["child"]) == (None, ["LD_PRELOAD=libc.so.6"])
