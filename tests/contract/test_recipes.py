"""Recipes of the project are valid and say how to run them; no recipe leads outside its run."""

from itertools import takewhile
from pathlib import Path

import pytest

from jpqd.core.errors import RecipeError
from jpqd.recipe.recipes import Recipe, load

ROOT = Path(__file__).parents[2]
RECIPES = sorted((ROOT / "recipes").rglob("*.yaml"))

every_recipe = pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)


def test_there_are_recipes() -> None:
    assert ROOT / "recipes" / "demo.yaml" in RECIPES


@every_recipe
def test_it_is_valid(path: Path) -> None:
    recipe = load(path)
    assert recipe.name == path.stem
    assert Recipe.model_validate(recipe.plain()) == recipe


@every_recipe
def test_its_header_says_how_to_run_it(path: Path) -> None:
    lines = path.read_text().splitlines()
    header = list(takewhile(lambda line: line.startswith("#"), lines))
    commands = [line.lstrip("# ") for line in header]
    assert any(c.startswith(f"jpqd run {path.relative_to(ROOT)}") for c in commands)


DEMO = ROOT / "recipes" / "demo.yaml"


def problem(*overrides: str) -> str:
    """The one problem that the demo has with these changes."""
    with pytest.raises(RecipeError) as error:
        load(DEMO, overrides)
    (found,) = error.value.problems
    return str(found)


@pytest.mark.parametrize("place", ["", "model.", "task.", "stages.teacher.", "stages.check."])
def test_no_recipe_can_trust_remote_code(place: str) -> None:
    found = problem(f"{place}trust_remote_code=true")
    assert f": {place}trust_remote_code: unknown key" in found


@pytest.mark.parametrize(
    "name", ["..", "../x", "/tmp/x", "a/b", "a\\\\b", ".hidden", "", "a\\n", "é", "~", "a" * 101]
)
def test_names_cannot_lead_outside(name: str) -> None:
    for change in (
        f'name="{name}"',
        f'task.name="{name}"',
        f'task.subset="{name}"',
        f'task.report_on="{name}"',
        f'task.select_on="{name}"',
        f'task.dataset={{"{name}": rows.csv}}',
        f'stages={{"{name}": {{use: train}}}}',
        f'stages.check.split="{name}"',
    ):
        assert "must consist of letters, digits" in problem(change)


@pytest.mark.parametrize("hub_id", ["a/../b", "a/b@../../x", "a/b@/etc", "a/b\\n", "é/b"])
def test_hub_ids_cannot_lead_outside_the_cache(hub_id: str) -> None:
    for key in ("model", "task.dataset"):
        assert "neither a hub id nor a path that exists" in problem(f'{key}="{hub_id}"')


@pytest.mark.parametrize(
    "model", ["gpt2", "owner/na-me.v1", "owner/name@refs/pr/1", "./x", "~/x", "a/b/c"]
)
def test_hub_ids_and_written_paths_are_valid_without_being_read(model: str) -> None:
    assert load(DEMO, (f"model={model}",)).model == model
