"""The README says what the program does."""

import re
from pathlib import Path

import pytest

from cli import app
from export.stages.ov_ir import OvIr
from jpqd.core.errors import RecipeError
from jpqd.recipe import plugins, recipes
from jpqd.recipe.recipes import Recipe
from jpqd.recipe.schema import Spec
from jpqd.recipe.task import Task
from jpqd.search.options import Finals, Reward, Target
from jpqd.stages.evaluate import Evaluate
from jpqd.stages.search import Search
from jpqd.stages.train import Train
from jpqd.stages.vocabulary import Vocabulary
from jpqd.training.method import METHODS, Method
from runtime_bench.stages.bench import Bench
from runtime_bench.stages.latency_table import LatencyTable

README = (Path(__file__).parents[2] / "README.md").read_text()
METHODS_PAGE = (Path(__file__).parents[2] / "docs" / "methods.md").read_text()


def test_the_recipe_in_the_readme_is_valid(tmp_path: Path) -> None:
    (block,) = re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)
    path = tmp_path / "readme.yaml"
    path.write_text(block)
    assert list(recipes.load(path).stages) == ["teacher", "check"]


@pytest.mark.parametrize(
    "spec",
    [
        Recipe,
        Task,
        Train,
        Vocabulary,
        Search,
        Target,
        Reward,
        Finals,
        Evaluate,
        OvIr,
        Bench,
        LatencyTable,
    ],
)
def test_every_key_of_a_recipe_is_in_the_readme(spec: type[Spec]) -> None:
    section = README[README.index("## A recipe") : README.index("## Your own model")]
    missing = [key for key in spec.model_fields if not re.search(rf"\b{key}\b", section)]
    assert not missing


def test_mistakes_are_answered_as_the_readme_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("bad.yaml").write_text("""\
model: google-bert/bert-base-uncased
task: {name: sst2, dataset: stanfordnlp/sst2, max_lenght: 128}
stages:
  teacher: {use: train, epochs: -3, learning_rate: "3e-5"}
  check: {use: evaluat, needs: [techer]}
""")
    with pytest.raises(RecipeError) as error:
        recipes.load(Path("bad.yaml"))
    assert f"$ jpqd validate bad.yaml\nerror: {error.value}\n```" in README


def test_every_command_is_in_the_readme() -> None:
    listed = set(re.findall(r"^\| `jpqd (\w+)", README, re.MULTILINE))
    commands = {entry.callback.__name__ for entry in app.registered_commands if entry.callback}
    assert listed == commands | {group.name for group in app.registered_groups}


@pytest.mark.parametrize("name", plugins.names(METHODS))
def test_every_key_of_a_method_is_documented(name: str) -> None:
    fields = plugins.load(name, METHODS, Method).model_fields
    missing = [key for key in fields if not re.search(rf"\b{key}\b", README + METHODS_PAGE)]
    assert not missing


def test_every_file_that_the_readme_links_to_is_there() -> None:
    links = re.findall(r"\]\(([^)#]+)\)", README)
    assert links
    assert [link for link in links if not (Path(__file__).parents[2] / link).exists()] == []
