"""Two seeds of a real recipe, compared."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from cli import app
from tests.helpers import tiny

STAGES = """\
stages:
  teacher: {use: train, epochs: 1, learning_rate: 3.0e-3}
  longer: {use: train, needs: [teacher], epochs: 1, learning_rate: 3.0e-3}
  check: {use: evaluate, needs: [teacher], split: select}
"""


def jpqd(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_the_figures_are_those_of_the_manifests(tmp_path: Path) -> None:
    text = tiny.RECIPE[: tiny.RECIPE.index("stages:")].replace("1.0e-9", "60") + STAGES
    recipe, runs = tiny.write_recipe(tmp_path, rows=160, text=text), tmp_path / "runs"
    for seed in (1, 2):
        chosen = ("--set", f"seed={seed}", "--set", f"name=seed{seed}")
        done = jpqd("run", recipe, "--runs", runs, *chosen)
        assert done.exit_code == 0, done.stderr
    found = json.loads(jpqd("compare", "seed1", "seed2", "--runs", runs, "--json").stdout)
    assert found["baseline"] == "teacher"
    assert {Path(entry["folder"]).name for entry in found["skipped"]} == {"check"}
    known = {
        stage: [
            tiny.manifest(runs, stage, f"seed{seed}")["metrics"]["validation"]["accuracy"]
            for seed in (1, 2)
        ]
        for stage in ("teacher", "longer")
    }
    assert {row["stage"]: row["each"] for row in found["stages"]} == known
    difference, low, high = found["stages"][1]["difference"]
    assert difference == pytest.approx((sum(known["longer"]) - sum(known["teacher"])) / 2)
    assert low <= difference <= high
    shown = jpqd("compare", runs / "seed1", runs / "seed2", "--markdown")
    assert f"| longer | {50 * sum(known['longer']):.2f} (" in shown.stdout
