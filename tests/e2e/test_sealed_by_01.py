"""What version 0.1 sealed is read by every command, and not trained again."""

import json
import shutil
from pathlib import Path

import pytest

from jpqd.core import artifact
from jpqd.recipe import recipes
from jpqd.run import plan
from tests.helpers import tiny

SOURCE = Path(__file__).parents[1] / "data" / "v01"
STAGES = ["teacher", "ptq", "jpqd", "check", "teacher_ir", "jpqd_ir"]


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """A copy that finds its data, wherever the tests run."""
    run = tmp_path / "runs" / "v01"
    shutil.copytree(SOURCE / "sealed", run)
    asked = (run / "recipe.json").read_text()
    (run / "recipe.json").write_text(asked.replace('"./data"', json.dumps(str(SOURCE / "data"))))
    return tmp_path / "runs"


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    shutil.copytree(SOURCE / "data", tmp_path / "data")
    path = tmp_path / "v01.yaml"
    path.write_text((SOURCE / "v01.yaml").read_text().replace("DATA", str(tmp_path / "data")))
    return path


def test_it_is_listed_verified_and_compared(runs: Path) -> None:
    listed = json.loads(tiny.run("ls", "v01", "--runs", runs, "--json").stdout)
    assert {stage["stage"] for stage in listed[0]["stages"]} == {*STAGES, "bench"}
    kinds = {stage["stage"]: stage["kind"] for stage in listed[0]["stages"]}
    assert (kinds["jpqd"], kinds["jpqd_ir"], kinds["check"]) == ("model", "ir", "figures")
    assert tiny.run("verify", "v01", "--runs", runs).returncode == 0
    compared = json.loads(tiny.run("compare", "v01", "--runs", runs, "--json").stdout)
    assert [row["stage"] for row in compared["stages"]] == ["teacher", "ptq", "jpqd"]
    assert compared["metric"] == "accuracy"


def test_it_is_exported_measured_and_reported(runs: Path) -> None:
    done = tiny.run("export", "jpqd", "--runs", runs, "--force")
    assert done.returncode == 0, done.stderr
    done = tiny.run("predict", runs / "v01" / "teacher_ir", "The film is good.")
    assert done.returncode == 0, done.stderr
    done = tiny.run("bench", "v01", "--runs", runs, "--arms", "jpqd_ir", "--seconds", "1",
                    "--blocks", "4", "--mode", "latency", "--length", "16",
                    "--out", runs / "measured", timeout=300)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert tiny.run("report", "v01", "--runs", runs).returncode == 0
    assert "jpqd_ir" in (runs / "v01" / "report.md").read_text()


def test_nothing_of_it_is_trained_again(
    runs: Path, recipe: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the versions that it was made with; others are a reason of their own.

    Its IRs are exported anew: the default shape is another one since.
    """
    sealed = artifact.open_sealed(runs / "v01" / "teacher").manifest
    monkeypatch.setattr(plan, "versions", lambda: sealed.inputs["versions"])
    steps = plan.plan(recipes.load(recipe), runs / "v01")
    found = {step.id: (step.status, step.why) for step in steps}
    exported = ("changed", ("stage.shape: bounded -> auto",))
    assert found == {
        **dict.fromkeys(STAGES, ("sealed", ())),
        "teacher_ir": exported,
        "jpqd_ir": exported,
    }
