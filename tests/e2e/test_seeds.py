"""Several seeds in one recipe: a run for each, the same as recipes with one seed."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from cli import app
from tests.helpers import tiny

HEAD = tiny.RECIPE[: tiny.RECIPE.index("stages:")].replace("1.0e-9", "60")
STAGES = """\
stages:
  teacher: {use: train, epochs: 1, learning_rate: 3.0e-3}
  longer: {use: train, needs: [teacher], epochs: 1, learning_rate: 3.0e-3}
"""


def jpqd(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A recipe with the seeds 10 and 2, in that order, and the folder of its runs."""
    folder = tmp_path_factory.mktemp("seeds")
    text = HEAD.replace("seed: 3", "seeds: [10, 2]") + STAGES
    recipe = tiny.write_recipe(folder, rows=160, text=text)
    ran = jpqd("run", recipe, "--runs", folder / "runs", "--json")
    assert ran.exit_code == 0, ran.stderr
    assert "tiny_seed10: seed 10" in ran.stderr and "jpqd compare tiny" in ran.stderr
    steps = [(step["run"], step["seed"], step["stage"]) for step in json.loads(ran.stdout)]
    assert steps == [
        (f"tiny_seed{seed}", seed, stage) for seed in (10, 2) for stage in ("teacher", "longer")
    ]
    return recipe, folder / "runs"


def test_each_run_is_that_of_a_recipe_with_this_seed_alone(
    done: tuple[Path, Path], tmp_path: Path
) -> None:
    recipe, runs = done
    single = tmp_path / "single.yaml"
    single.write_text(recipe.read_text().replace("seeds: [10, 2]", "seed: 2"))
    alone = jpqd("run", single, "--runs", tmp_path, "--set", "name=tiny_seed2")
    assert alone.exit_code == 0, alone.stderr
    for stage in ("teacher", "longer"):
        mine, theirs = (tiny.manifest(at, stage, "tiny_seed2") for at in (runs, tmp_path))
        assert mine["fingerprint"] == theirs["fingerprint"]
        weights = "model.safetensors"
        assert mine["files"][weights] == theirs["files"][weights]
    recorded = [
        json.loads((at / "tiny_seed2" / "recipe.json").read_text()) for at in (runs, tmp_path)
    ]
    assert recorded[0] == recorded[1]


def test_the_runs_share_their_data_and_are_not_run_again(done: tuple[Path, Path]) -> None:
    recipe, runs = done
    assert len(list((runs / ".cache").glob("data-*/data.json"))) == 1
    again = jpqd("run", recipe, "--runs", runs)
    assert again.stderr.count("sealed already") == 4
    assert f"{runs}/tiny_seed10" in again.stdout and f"{runs}/tiny_seed2" in again.stdout


def test_plan_and_validate_name_every_run(done: tuple[Path, Path]) -> None:
    recipe, runs = done
    more = ("--set", "seeds=[2, 5]")
    states = json.loads(jpqd("plan", recipe, "--runs", runs, *more, "--json").stdout)
    assert [(step["run"], step["state"]) for step in states] == [
        ("tiny_seed2", "sealed"), ("tiny_seed2", "sealed"),
        ("tiny_seed5", "new"), ("tiny_seed5", "new"),
    ]  # fmt: skip
    shown = jpqd("plan", recipe, "--runs", runs, *more).stdout
    assert "tiny_seed5" in shown.replace("\n", "")  # a long path is wrapped
    assert "the runs tiny_seed10, tiny_seed2\n1 valid" in jpqd("validate", recipe).stdout


def test_compare_pools_the_runs_of_a_recipe_by_its_name(done: tuple[Path, Path]) -> None:
    _, runs = done
    found = jpqd("compare", "tiny", "--runs", runs, "--json")
    assert found.exit_code == 0, found.stderr
    pooled = json.loads(found.stdout)
    assert [Path(run).name for run in pooled["runs"]] == ["tiny_seed2", "tiny_seed10"]
    one_by_one = jpqd("compare", "tiny_seed2", "tiny_seed10", "--runs", runs, "--json")
    assert pooled == json.loads(one_by_one.stdout)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("seed: 1\nseeds: [1, 2]", "tiny.yaml:4: seed: is given beside `seeds`"),
        ("seeds: [1, 1]", "seeds: a seed is listed twice"),
        ("seeds: []", "seeds: needs at least 1"),
        ("seeds: 3", "seeds: must be a list (got 3)\n    Write a list: `seeds: [3]`."),
        ("seeds: [-1]", "seeds.0: must be at least 0 (got -1)"),
    ],
)
def test_wrong_seeds_are_named(tmp_path: Path, line: str, said: str) -> None:
    text = HEAD.replace("seed: 3", line) + STAGES
    found = jpqd("validate", tiny.write_recipe(tmp_path, rows=4, text=text))
    assert found.exit_code == 2
    assert said in found.stderr
