"""Kills a run with a stage of every kind at random moments, and continues it each time.

    python -m tests.attack.kills RUNS [KILLS]

Forks, so that what takes seconds to import is imported once. Every run must end with the weights
and figures of a run that nobody killed, and `verify` must find nothing. Prints a line for each.
"""

import os
import random
import shutil
import signal
import sys
import time
from pathlib import Path

from typer.testing import CliRunner

from cli import app
from jpqd.core import artifact
from jpqd.core.progress import Progress
from jpqd.recipe import recipes
from jpqd.run import runner

RECIPE = Path(__file__).with_name("every.yaml")
EXACT = ("teacher", "ptq", "jpqd", "check")
"""The stages whose content is the same bit for bit in every run."""


def start(runs: Path) -> int:
    """Run the recipe in a process of its own, which leads a group."""
    child = os.fork()
    if child:
        return child
    os.setsid()
    code = 1
    try:
        runner.execute(recipes.load(RECIPE), runs, Progress(quiet=True))
        code = 0
    finally:
        os._exit(code)


def ends(child: int, seconds: float) -> int | None:
    """Wait for a process; None where it still lives after so many seconds."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            return status
        time.sleep(0.005)
    return None


def result(runs: Path) -> dict[str, object]:
    """The weights' hashes and figures of a finished run."""
    found: dict[str, object] = {}
    for stage in EXACT:
        manifest = artifact.open_sealed(runs / RECIPE.stem / stage).manifest
        found[stage] = manifest.splits
        for name in ("model.safetensors", "predictions.safetensors"):
            if name in manifest.files:
                found[f"{stage}/{name}"] = manifest.files[name].sha256
    return found


def killed(runs: Path, usual: float, moments: random.Random) -> int:
    """Kill a run until it ends by itself; return how often."""
    kills = 0
    while True:
        child = start(runs)
        status = ends(child, moments.uniform(0.02, 0.6) * usual)
        if status is not None:
            assert status == 0, f"ended with {status}"
            return kills
        one = moments.random() < 0.5
        (os.kill if one else os.killpg)(child, signal.SIGKILL)  # alone, or with its children
        os.waitpid(child, 0)
        kills += 1


def main(runs: Path, wanted: int) -> None:
    import jpqd.methods.prune.attach
    import jpqd.training.train  # noqa: F401 (once, before the first fork)

    started = time.monotonic()
    assert ends(start(runs / "whole"), 600) == 0
    usual, expected = time.monotonic() - started, result(runs / "whole")
    print(f"a run nobody kills takes {usual:.0f} s", flush=True)
    moments, kills = random.Random(23), 0
    while kills < wanted:
        place = runs / "killed"
        shutil.rmtree(place, ignore_errors=True)
        kills += killed(place, usual, moments)
        assert result(place) == expected
        found = CliRunner().invoke(app, ["verify", "--runs", str(place)])
        assert found.exit_code == 0, found.output
        left = [p.name for p in (place / RECIPE.stem).iterdir() if "partial" in p.name]
        assert not left, left
        print(f"{kills} kills: same weights, same figures, all as sealed", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 200)
