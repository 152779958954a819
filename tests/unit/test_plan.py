"""What makes a stage run again."""

import json
from pathlib import Path

from typer.testing import CliRunner

from cli import app
from jpqd.recipe import recipes
from jpqd.run import plan
from tests.helpers import tiny


def test_an_option_that_is_not_set_is_no_part_of_what_a_stage_was_made_from(tmp_path: Path) -> None:
    """So a later version may bring an option without training everything again."""
    (teacher, _) = plan.plan(recipes.load(tiny.write_recipe(tmp_path)), tmp_path / "run")
    assert "micro_batch" in teacher.stage.plain()
    assert "micro_batch" not in teacher.inputs["stage"]
    assert teacher.inputs["stage"]["epochs"] == 3


def test_a_change_inside_a_list_is_named_by_its_place() -> None:
    old = {"methods": [{"use": "prune", "keep": 0.3}, {"use": "quantize"}]}
    new = {"methods": [{"use": "prune", "keep": 0.2}]}
    assert list(plan.differences(old, new, "stage")) == [
        "stage.methods.0.keep: 0.3 -> 0.2",
        "stage.methods.1: {'use': 'quantize'} -> absent",
    ]


def test_a_stage_takes_as_long_as_the_same_work_took_before(tmp_path: Path) -> None:
    path = tiny.write_recipe(tmp_path, rows=40)
    runs = ("--runs", str(tmp_path / "runs"))

    def planned(*more: str) -> dict[str, float | None]:
        shown = CliRunner().invoke(app, ["plan", str(path), *runs, "--json", *more])
        assert shown.exit_code == 0, shown.output
        return {step["stage"]: step["seconds"] for step in json.loads(shown.stdout)}

    assert planned() == {"teacher": None, "check": None}
    assert tiny.run("run", path, *runs, "--set", "stages.teacher.epochs=1").returncode == 0
    again = planned("--set", "name=other", "--set", "stages.teacher.epochs=1")
    assert again["teacher"] and again["teacher"] > 0 and again["check"] is not None
    assert planned("--set", "name=other") == {"teacher": None, "check": again["check"]}
    larger = planned("--set", "name=other", "--set", "stages.teacher.epochs=1",
                     "--set", "model.hidden_size=64")  # fmt: skip
    assert larger == {"teacher": None, "check": None}, "another model takes another time"
