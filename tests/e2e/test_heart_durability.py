"""Kills around the ramp and the cut: what comes out is what would have come out."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.helpers import tiny
from tests.helpers.distill_place import COMMON, Place, losses

QUANTIZE = "{use: quantize, samples: 2}"
JOINT = (
    f"{{use: prune, keep: 0.25, end: 0.5}}, {QUANTIZE}, "
    "{use: distill, teacher: dense, weight: 0.7, hidden: 0.1}"
)
LAYERS = (
    "{use: prune, keep: 0.5, structure: layers, score: movement, schedule: iterative, "
    f"rounds: 2, end: 0.5, after: rewind, rewind_to: 0.05}}, {QUANTIZE}"
)
BLOCK = "{use: prune, keep: 0.3, structure: block, score: taylor, end: 0.5}"
WEIGHTS = "{use: prune, keep: 0.3, structure: unstructured, score: random, end: 0.5}"
ORIGINAL = "{use: prune, target: threshold, structure: block, score: movement, end: 0.5}"
ADAPTERS = "{use: lora, rank: 2, dropout: 0.1, dora: true}"
STEPS, CUT = 10, 5
"""The cut comes before the step after the fifth."""


def joint(place: Place, methods: str) -> Path:
    """A recipe whose dense stage is sealed already, and that saves at every step."""
    text = (place.folder / "tiny.yaml").read_text()
    dense = text[text.index("  dense") :].splitlines()[0] + "\n"
    stage = f"  joint: {{{COMMON}, average: 0.9, needs: [dense], methods: [{methods}]}}\n"
    often = ("checkpoint_minutes: 60", "checkpoint_minutes: 1.0e-9")
    return place.recipe(dense + stage, often, name="tiny")


def outcomes(place: Place, path: Path, steps: list[int]) -> list[tuple[object, list[float]]]:
    """What came out of processes that died at these steps, by the folders of those that did not."""
    runs = place.folder / "runs"
    done = subprocess.run(
        [tiny.PYTHON, "-m", "tests.helpers.dying", path, runs, *map(str, steps)],
        env=tiny.environment(),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return [outcome(folder) for folder in sorted(runs.glob("[0-9]"))]


def outcome(made: Path) -> tuple[object, list[float]]:
    """Hashes, and the loss of every step."""
    files = json.loads((made / "manifest.json").read_text())["files"]
    names = ("model.safetensors", "predictions.safetensors", "structure.json", "config.json")
    return [files.get(name, {}).get("sha256") for name in names], losses(made.parent, made.name)


@pytest.mark.parametrize(
    ("methods", "deaths"),
    [
        (JOINT, [3, CUT + 1, CUT + 3]),  # in the ramp, right after the cut, and later
        (LAYERS, [CUT]),  # before the step that cuts
        (BLOCK, [CUT + 1]),
        (WEIGHTS, [3]),
        (ORIGINAL, [3]),
        (ADAPTERS, [3]),
    ],
    ids=["joint", "layers", "block", "weights", "original", "adapters"],
)
def test_kills_around_the_cut_change_nothing(place: Place, methods: str, deaths: list[int]) -> None:
    path = joint(place, methods)
    killed, whole = outcomes(place, path, [*deaths, 0, 0])
    assert killed == whole
    assert len(whole[1]) == STEPS
