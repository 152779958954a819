"""A recipe is checked as a whole: every problem at once, each with place, value and remedy."""

import importlib
import json
from pathlib import Path
from typing import get_args

import pytest
from typer.testing import CliRunner

import jpqd.methods
from cli import app
from jpqd.core.errors import RecipeError
from jpqd.recipe.recipes import Recipe, Tracker, load

VALID = """\
model: {new: bert}
task: {name: rows, dataset: "builtin:reviews"}
stages:
  first: {use: train, epochs: 1}
  second: {use: train, needs: [first]}
  check: {use: evaluate, needs: [second]}
"""


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "mine.yaml"
    path.write_text(VALID)
    return path


def problems(recipe: Path, *overrides: str) -> list[str]:
    """The problems without the folder in front of them."""
    with pytest.raises(RecipeError) as error:
        load(recipe, overrides)
    assert error.value.exit_code == 2
    return [str(problem).replace(f"{recipe.parent}/", "") for problem in error.value.problems]


def rewritten(recipe: Path, old: str, new: str) -> list[str]:
    assert old in VALID
    recipe.write_text(VALID.replace(old, new, 1))
    return problems(recipe)


def test_a_valid_recipe_is_named_after_its_file(recipe: Path) -> None:
    assert load(recipe).name == "mine"
    assert list(load(recipe).stages) == ["first", "second", "check"]


def test_a_recipe_survives_json(recipe: Path) -> None:
    loaded = load(recipe)
    assert Recipe.model_validate(json.loads(json.dumps(loaded.plain()))) == loaded


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            "epochs: 1",
            "epoch: 1",
            "mine.yaml:4: stages.first.epoch: unknown key\n    Did you mean 'epochs'? Known: ",
        ),
        ("model:", "'[key]': 1\nmodel:", "mine.yaml:1: '[key]': unknown key\n    Known: "),
        ("epochs: 1", "epochs: '1'", "epochs: must be a number (got '1')\n    Write it without q"),
        ("epochs: 1", "epochs:", "must be a number (got nothing)\n    Leave it out for the defa"),
        ("epochs: 1", "epochs: -1.5", "must be at least 0 (got -1.5)\n    Leave it out for the "),
        ("epochs: 1", "epochs: .nan", "must be a finite number (got nan)"),
        ("epochs: 1", "epochs: 1e400", "must be a finite number (got inf)"),
        ("epochs: 1", "epochs: 1e300", "must be less than 1e+09 (got 1e+300)"),
        ("epochs: 1", "warmup: .nan", "must be a finite number (got nan)"),
        ("epochs: 1", "average: 1.0", "average: must be less than 1 (got 1.0)\n    Or leave it "),
        ("epochs: 1", "batch_size: true", "batch_size: must be a whole number (got true)"),
        ("epochs: 1", "batch_size: 8.0", "must be a whole number (got 8.0)\n    Write 8."),
        ("epochs: 1", "batch_size: 0", "must be greater than 0 (got 0)\n    Leave it out for th"),
        ("epochs: 1", "batch_size: 3000000000", "must be less than 2147483648 (got 3000000000)"),
        ("epochs: 1", "schedule: linar", "(got 'linar')\n    Did you mean 'linear'?"),
        ("[first]", "first", "needs: must be a list (got 'first')\n    Write a list: `needs: [fi"),
        ("[second]", "[]", "check.needs: needs at least 1 (got [])\n    Such as `needs: [...]`."),
        ("[second]", "[first, second]", "check.needs: takes at most 1 (got ['first', 'second'])"),
        ("use: train", "use: trian", "first.use: no stage has this name (got 'trian')\n    Did y"),
        ("use: train", "use: [train]", "first.use: must be the name of a stage (got ['train'])"),
        (
            "use: train, ",
            "",
            "mine.yaml:4: stages.first.use: is missing\n    Known: bench, bit_widths",
        ),
        ("{use: train, epochs: 1}", "train", "first: a stage is a map such as {use: name} (got"),
        ("epochs: 1", "methods: [{use: nothing}]", "methods.0.use: no method has this name (got"),
        ("epochs: 1", "methods: [5]", "methods.0: a method is a map such as {use: name} (got 5)"),
        ("name: rows, ", "", "mine.yaml:2: task.name: is missing\n    Add `name:` there."),
        ("name: rows", "name: 5", 'task.name: must be text (got 5)\n    Put it in quotes: "5".'),
        ("{new: bert}", "{new: bart}", "model.new: must be one of: 'bert' or 'qwen3' (got 'bart')"),
        ("{new: bert}", "{new: bert, hidden_size: 9}", "hidden_size 9 cannot be divided among 2"),
        ("{new: bert}", "5", "mine.yaml:1: model: must be a folder or a hub id (got 5)\n    Such"),
        ("builtin:reviews", "what ever", "neither a hub id nor a path that exists (got 'what ev"),
        ('"builtin:reviews"', "{}", "task.dataset: needs at least 1 (got {})"),
        ("name: rows", "name: r, labels: [a, a]", "labels: must be two or more different names"),
        (
            "name: rows",
            "name: r, kind: regression, metric: f1",
            "metric: does not fit use: regression",
        ),
        ("name: rows", "name: r, select_on: validation", "task.select_on: is also report_on"),
        ("name: rows", "name: r, text: []", "task.text: needs at least 1 (got [])"),
        ("model:", "seed: -1\nmodel:", "mine.yaml:1: seed: must be at least 0 (got -1)\n    Leav"),
        ("model:", "report_to: [wandbb]\nmodel:", "report_to.0: must be one of"),
        ("first:", "fi.rst:", "stages.'fi.rst': must consist of letters, digits, `_` and `-` an"),
        ("model:", "name: a b\nmodel:", "name: must consist of letters, digits, `.`, `_` and `-"),
    ],
)
def test_each_mistake_has_its_message(recipe: Path, old: str, new: str, expected: str) -> None:
    assert any(expected in problem for problem in rewritten(recipe, old, new))


def test_all_problems_come_at_once_in_the_order_of_the_lines(recipe: Path) -> None:
    found = rewritten(recipe, VALID, VALID.replace("epochs: 1", "epochs: x").replace(
        "{new: bert}", "{new: bert, vocab_size: 0}").replace("name: rows", "nam: rows").replace(
        "[second]", "[third]") + "  check: 5\nseed: a\n")  # fmt: skip
    places = [problem.split(": ")[:2] for problem in found]
    assert places == [
        ["mine.yaml:1", "model.vocab_size"],
        ["mine.yaml:2", "task.nam"],
        ["mine.yaml:2", "task.name"],
        ["mine.yaml:4", "stages.first.epochs"],
        ["mine.yaml:6", "stages.check.needs.0"],
        ["mine.yaml:7", "stages.check"],
        ["mine.yaml:8", "seed"],
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "the file is empty"),
        ("# nothing\n", "the file is empty"),
        ("[a]", "a recipe is a map (got ['a'])"),
        ("text", "a recipe is a map (got 'text')"),
        ("!!python/object:os.system x", "!!python/object:os.system does not fit here"),
        ("a: [", "not YAML"),
    ],
)
def test_what_is_no_recipe_is_one_problem(recipe: Path, text: str, expected: str) -> None:
    recipe.write_text(text)
    (problem,) = problems(recipe)
    assert expected in problem
    assert "\n    " in problem


def test_a_recipe_without_stages_is_told_what_to_add(recipe: Path) -> None:
    recipe.write_text(VALID[: VALID.index("  first")].replace("stages:", "stages: {}"))
    (problem,) = problems(recipe)
    assert problem.startswith("mine.yaml:3: stages: a recipe without stages does nothing\n    Add")


def test_a_value_that_cannot_be_read_is_not_reported_twice(recipe: Path) -> None:
    (problem,) = rewritten(recipe, "epochs: 1", "epochs: !!bool perhaps")
    assert "the tag !!bool does not fit here (got 'perhaps')" in problem


def test_a_file_whose_name_is_no_run_name_says_so(tmp_path: Path) -> None:
    path = tmp_path / "my recipe.yaml"
    path.write_text(VALID)
    (problem,) = problems(path)
    assert problem.startswith("my recipe.yaml: name: must consist of")
    assert "For example my-recipe." in problem


@pytest.mark.parametrize(
    ("needs", "what"), [("second", "itself"), ("check", "a later stage"), ("nobody", "no stage")]
)
def test_stages_need_earlier_stages_only(recipe: Path, needs: str, what: str) -> None:
    assert rewritten(recipe, "[first]", f"[{needs}]") == [
        f"mine.yaml:5: stages.second.needs.0: {needs!r} is {what}; a stage reads earlier stages "
        "only\n    Earlier stages here: first."
    ]


@pytest.fixture
def mimic(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A method that reads another stage, as a plugin file."""
    folder = tmp_path / "plugins"
    folder.mkdir()
    (folder / "mimic_for_test.py").write_text(
        "from typing import Literal\n"
        "from jpqd.training.method import Hooks, Method\n"
        "class MimicForTest(Method):\n"
        "    use: Literal['mimic_for_test']\n"
        "    teacher: str\n"
        "    def inputs(self):\n"
        "        return (self.teacher,)\n"
        "    def attach(self, model, training):\n"
        "        return model, Hooks()\n"
    )
    monkeypatch.setattr(jpqd.methods, "__path__", [*jpqd.methods.__path__, str(folder)])
    importlib.invalidate_caches()


@pytest.mark.usefixtures("mimic")
def test_what_a_method_reads_is_an_earlier_stage_too(recipe: Path) -> None:
    second = "needs: [first], methods: [{use: mimic_for_test, teacher: %s}]"
    recipe.write_text(VALID.replace("needs: [first]", second % "first"))
    assert load(recipe).stages["second"].inputs() == ("first",)
    assert rewritten(recipe, "needs: [first]", second % "check") == [
        "mine.yaml:5: stages.second.methods.0.teacher: 'check' is a later stage; a stage reads "
        "earlier stages only\n    Earlier stages here: first."
    ]


@pytest.mark.usefixtures("mimic")
def test_keys_of_a_method_get_did_you_mean(recipe: Path) -> None:
    found = rewritten(recipe, "epochs: 1", "methods: [{use: mimic_for_test, techer: x}]")
    assert "methods.0.techer: unknown key\n    Did you mean 'teacher'?" in found[1]
    (problem,) = rewritten(recipe, "epochs: 1", "methods: [{use: mimic_for_tes}]")
    assert "Did you mean 'mimic_for_test'?" in problem


def test_set_changes_values_list_items_and_makes_keys(recipe: Path) -> None:
    changes = ["seed=7", "stages.second.needs.0=first", "stages.second.epochs=2e-1", "name=other"]
    changes += ["stages.last.use=evaluate", "stages.last.needs=[first]", "task.labels=[no, yes]"]
    loaded = load(recipe, tuple(changes))
    assert (loaded.seed, loaded.name) == (7, "other")
    assert loaded.stages["second"].plain()["epochs"] == 0.2
    assert list(loaded.stages)[-1] == "last"
    assert loaded.task.labels == ("no", "yes")


def test_the_last_set_of_a_key_wins(recipe: Path) -> None:
    assert load(recipe, ("seed=7", "seed=8")).seed == 8


def test_set_keeps_what_stands_after_the_first_equals_sign(recipe: Path) -> None:
    assert load(recipe, ("task.label=a=b",)).task.label == "a=b"


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("seed", "--set seed: expected path.to.key=value"),
        ("=5", "--set =5: expected path.to.key=value"),
        ("task..name=x", "--set task..name=x: expected path.to.key=value"),
        ("seed=[", "--set seed=[: not YAML: "),
        ("seed=!!set {a}", "--set seed=!!set {a}: a list or a map of kind !!set"),
        ("seed=-1", "--set seed=-1: seed: must be at least 0 (got -1)"),
        ("seed=", "--set seed=: seed: must be a whole number (got nothing)"),
        ("name=../../x", "--set name=../../x: name: must consist of"),
        ("stages.second.needs.1=a", "there is no place '1' in ['first']\n    Name a key of a map"),
        ("stages.second.needs.²=a", "there is no place '²' in ['first']"),
        ("stages.second.use.x=a", "there is no place 'x' in 'train'"),
        ("stages.second.needs.0=a", "--set stages.second.needs.0=a: stages.second.needs.0: 'a' is"),
        ("stages.first.epoch=1", "--set stages.first.epoch=1: stages.first.epoch: unknown key\n"),
        ("stages.x.use=evaluate", "--set stages.x.use=evaluate: stages.x.needs: is missing"),
        ("stages.x={use: evaluate}", "--set stages.x={use: evaluate}: stages.x.needs: is missing"),
        ("stages.0=train", "--set stages.0=train: stages.0: a stage is a map"),
        ("stages.first.methods=[{use: x}]", ": stages.first.methods.0.use: no method has this na"),
        ("a\nb\x1b=1", "--set 'a\\nb\\x1b=1': 'a\\nb\\x1b': unknown key"),
    ],
)
def test_problems_of_set_say_so(recipe: Path, override: str, expected: str) -> None:
    (problem,) = problems(recipe, override)
    assert expected in problem
    assert problem.startswith("--set ")


def test_items_set_inside_a_list_of_the_command_line(recipe: Path) -> None:
    changes = ("stages.first.methods=[{use: x}]", "stages.first.methods.0.use=y")
    (problem,) = problems(recipe, *changes)
    assert problem.startswith(f"--set {changes[1]}: stages.first.methods.0.use: no method")


def test_problems_of_set_and_of_the_file_come_together(recipe: Path) -> None:
    recipe.write_text(VALID.replace("epochs: 1", "epochs: x"))
    found = problems(recipe, "seed", "task.max_length=1")
    assert [problem.split(": ")[0] for problem in found] == [
        "--set seed",
        "--set task.max_length=1",
        "mine.yaml:4",
    ]


def test_a_name_too_long_for_a_file_is_a_problem_not_a_crash(recipe: Path) -> None:
    assert "nor a path that exists" in rewritten(recipe, "{new: bert}", "a b" * 500)[0]


def test_trackers_are_those_that_transformers_knows() -> None:
    from transformers.integrations.integration_utils import INTEGRATION_TO_CALLBACK

    assert set(get_args(Tracker)) == set(INTEGRATION_TO_CALLBACK)


def test_validate_names_the_problems_of_every_file(recipe: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.yaml"
    other.write_text(VALID + "seed: x\n")
    arguments = ["validate", str(recipe), str(other), str(tmp_path / "none.yaml")]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 2
    assert result.stderr.startswith(f"error: {other}:7: seed: must be a whole number (got 'x')\n")
    assert f"{tmp_path}/none.yaml: cannot be read" in result.stderr
    assert str(recipe) not in result.stderr
