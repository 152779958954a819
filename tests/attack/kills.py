"""Kills a run with a stage of every kind at random moments, and continues it each time.

    python -m tests.attack.kills RUNS [KILLS] [every|decoder]

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

EXACT = {
    "every": ("teacher", "ptq", "jpqd", "check", "worth", "robust"),
    "decoder": ("base", "f32", "int8", "gptq", "awq", "near", "asked"),
}
"""By recipe, the stages whose content is the same bit for bit in every run."""


def start(recipe: Path, runs: Path) -> int:
    """Run the recipe in a process of its own, which leads a group."""
    child = os.fork()
    if child:
        return child
    os.setsid()
    code = 1
    try:
        runner.execute(recipes.load(recipe), runs, Progress(quiet=True))
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


def result(recipe: Path, runs: Path) -> dict[str, object]:
    """The weights' hashes and figures of a finished run."""
    found: dict[str, object] = {}
    for stage in EXACT[recipe.stem]:
        manifest = artifact.open_sealed(runs / recipe.stem / stage).manifest
        found[stage] = manifest.metrics if manifest.kind == "figures" else manifest.splits
        for name in ("model.safetensors", "predictions.safetensors"):
            if name in manifest.files:
                found[f"{stage}/{name}"] = manifest.files[name].sha256
    return found


def killed(recipe: Path, runs: Path, usual: float, moments: random.Random) -> int:
    """Kill a run until it ends by itself; return how often."""
    kills = 0
    while True:
        child = start(recipe, runs)
        status = ends(child, moments.uniform(0.02, 0.6) * usual)
        if status is not None:
            assert status == 0, f"ended with {status}"
            return kills
        one = moments.random() < 0.5
        (os.kill if one else os.killpg)(child, signal.SIGKILL)  # alone, or with its children
        os.waitpid(child, 0)
        kills += 1


def main(runs: Path, wanted: int, name: str) -> None:
    import jpqd.methods.prune.attach
    import jpqd.training.train  # noqa: F401 (once, before the first fork)

    recipe = Path(__file__).with_name(f"{name}.yaml")
    started = time.monotonic()
    assert ends(start(recipe, runs / "whole"), 600) == 0
    usual, expected = time.monotonic() - started, result(recipe, runs / "whole")
    print(f"a run nobody kills takes {usual:.0f} s", flush=True)
    moments, kills = random.Random(23), 0
    while kills < wanted:
        place = runs / "killed"
        shutil.rmtree(place, ignore_errors=True)
        kills += killed(recipe, place, usual, moments)
        assert result(recipe, place) == expected
        found = CliRunner().invoke(app, ["verify", "--runs", str(place)])
        assert found.exit_code == 0, found.output
        left = [p.name for p in (place / recipe.stem).iterdir() if "partial" in p.name]
        assert not left, left
        print(f"{kills} kills: same weights, same figures, all as sealed", flush=True)


if __name__ == "__main__":
    given = dict(enumerate(sys.argv))
    main(Path(given[1]), int(given.get(2, 200)), given.get(3, "every"))
