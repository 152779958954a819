"""What makes a stage run again."""

from pathlib import Path

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
