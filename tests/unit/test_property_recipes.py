"""Whatever a recipe says: no traceback, exit 0 or 2, and on 2 a message."""

import copy
import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from cli import app

RECIPES = sorted((Path(__file__).parents[2] / "recipes").rglob("*.yaml"))
RICH = """
name: rich
model: {new: bert, hidden_size: 64, num_hidden_layers: 1, num_attention_heads: 2}
task:
  name: rows
  dataset: {train: rows/train.csv, validation: rows/validation.jsonl}
  text: [question, answer]
  label: verdict
  labels: ["no", "yes", "ümlaut"]
  kind: classification
  metric: f1
  report_on: validation
  holdout: 0.2
  select_on: dev
seed: 7
report_to: [tensorboard]
checkpoint_minutes: 0.5
stages:
  first: &training
    use: train
    epochs: 1
    batch_size: 8
    micro_batch: 4
    average: 0.99
    precision: bf16
    schedule: cosine
    methods: []
  second: {use: train, needs: [first], dropout: null}
  check: {use: evaluate, needs: [second], split: select}
"""
DEMO = next(path for path in RECIPES if path.name == "demo.yaml")
TEXTS = [RICH, *(path.read_text() for path in RECIPES)]

EXAMPLES = int(os.environ.get("JPQD_EXAMPLES", "300"))
"""More of them: JPQD_EXAMPLES=2500 pytest tests/unit/test_property_recipes.py"""

FEW = settings(
    derandomize=True,
    deadline=None,
    database=None,
    max_examples=EXAMPLES,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)

WEIRD = [
    None, True, 0, -1, 10**30, -(10**400), 0.0, -0.5, 1e400, float("nan"), 5e-324, "", " ", "yes",
    "../../outside", "/etc/passwd", "a" * 300, "a/" * 3000, "\x00", "\x1b[31m", "\u202e", "é",
    "{message}", "%s", "[key]", "train", "second", "0.5", [], {}, [[]], [{}], {"use": []},
    {"use": "train"}, {"use": "trian"}, {"use": None}, {"new": "bert"}, {1: 2}, {None: None},
    {"trust_remote_code": True}, b"bytes", [["deep"] * 3] * 3,
]  # fmt: skip
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=12)
    | st.dates()
    | st.binary(max_size=4)
)
JUNK = st.sampled_from(WEIRD) | st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(SCALARS, inner, max_size=3),
    max_leaves=6,
)
KEYS = st.sampled_from(["use", "needs", "methods", "name", "a.b", "..", "<<", "[key]"]) | SCALARS
NOISE = st.sampled_from(
    [b"\x00", b"\xff\xfe", b"\t", b"\n", b": ", b"- ", b"{", b"]", b"&a ", b"*a", b"*training",
     b"!!python/object:os.system ", b"!!bool ", b"!!int ", b"!!timestamp x", b"!!set {a}", b"? ",
     b"---\n", b"%YAML 9.9\n", b'"\\Uffffffff"', b'"\\ud800"', b"'", b"|", b"<<: ", b"# ",
     b"[" * 400, b"9" * 5000, b".nan", b"-.inf", b"0x", b"0o7", b"\xe2\x80\xa8", b"a: &a [*a]\n"]
) | st.binary(max_size=6)  # fmt: skip


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("recipes") / "mutant.yaml"


def validate(*arguments: str, command: str = "validate") -> int:
    """Exit code of the real command, once its output was found to be in order."""
    result = CliRunner().invoke(app, [command, *arguments])
    shown = f"{result.output}\n{result.exception!r}"
    assert result.exit_code in (0, 2), shown
    assert "Traceback" not in result.output, shown
    if result.exit_code == 2:
        assert result.stderr.startswith("error: "), shown
        assert len(result.stderr.strip()) > len("error: "), shown
        assert result.stderr.replace("\n", "").isprintable(), shown
    return result.exit_code


def places(value: Any) -> list[tuple[Any, Any]]:
    """Every container of a recipe with each of its keys."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    found = [(value, key) for key, _ in list(items)]
    for container, key in list(found):
        if isinstance(container[key], dict | list):
            found += places(container[key])
    return found


def mutate(data: st.DataObject, recipe: dict[Any, Any]) -> None:
    choices = places(recipe)
    assume(choices)
    container, key = data.draw(st.sampled_from(choices), label="where")
    change = data.draw(st.sampled_from(["value", "delete", "wrap", "nest", "key", "add"]))
    if change == "value":
        container[key] = copy.deepcopy(data.draw(JUNK))
    elif change == "delete":
        del container[key]
    elif change == "wrap":
        container[key] = [container[key]] if data.draw(st.booleans()) else {"x": container[key]}
    elif change == "nest":
        for _ in range(data.draw(st.sampled_from([5, 60, 200]))):
            container[key] = [container[key]]
    elif isinstance(container, dict):
        value = container.pop(key) if change == "key" else copy.deepcopy(data.draw(JUNK))
        container[data.draw(KEYS)] = value


def test_the_recipes_that_are_mutated_are_valid(recipe: Path) -> None:
    assert len(TEXTS) > 1
    for text in TEXTS:
        recipe.write_text(text)
        assert validate(str(recipe)) == 0


@FEW
@given(st.data())
def test_changed_values_keys_and_types_never_crash(recipe: Path, data: st.DataObject) -> None:
    mutant = yaml.safe_load(data.draw(st.sampled_from(TEXTS)))
    for _ in range(data.draw(st.integers(1, 3))):
        mutate(data, mutant)
    recipe.write_text(yaml.safe_dump(mutant, sort_keys=False), "utf-8", "surrogatepass")
    validate(str(recipe))


@FEW
@given(st.data())
def test_changed_text_never_crashes(recipe: Path, data: st.DataObject) -> None:
    raw = data.draw(st.sampled_from(TEXTS)).encode()
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(st.integers(0, len(raw)))
        end = start + data.draw(st.sampled_from([0, 0, 1, 30]))
        raw = raw[:start] + data.draw(NOISE) + raw[end:]
    recipe.write_bytes(raw)
    validate(str(recipe))


@FEW
@given(st.data())
def test_lines_deleted_and_duplicated_never_crash(recipe: Path, data: st.DataObject) -> None:
    lines = data.draw(st.sampled_from(TEXTS)).splitlines(keepends=True)
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(st.integers(0, len(lines) - 1))
        end = start + data.draw(st.integers(0, 3))
        lines[start:end] = lines[start:end] * data.draw(st.sampled_from([0, 2])) or ["\n"]
    recipe.write_text("".join(lines))
    validate(str(recipe))


PATHS = st.sampled_from(
    ["seed", "name", "model", "task", "stages", "stages.first", "stages.0", "stages.first.needs.0",
     "stages.check.needs.0", "stages.first.methods.0.use", "task.labels.1", "task.dataset.train.x",
     "task..name", ".", "", "stages.first.use.x", "²", "task.labels." + "9" * 5000, "a." * 50 + "a"]
)  # fmt: skip
VALUES = st.text(max_size=20) | NOISE.map(lambda noise: noise.decode(errors="replace")) | st.builds(
    lambda value: yaml.safe_dump(value, default_flow_style=True), JUNK
)  # fmt: skip


@FEW
@given(st.lists(st.text(max_size=30) | st.tuples(PATHS, VALUES).map("=".join), max_size=3))
def test_any_override_never_crashes(recipe: Path, overrides: list[str]) -> None:
    recipe.write_text(RICH)
    validate(str(recipe), *(part for override in overrides for part in ("--set", override)))


@settings(FEW, max_examples=EXAMPLES // 3)
@given(st.data())
def test_a_changed_recipe_never_crashes_a_plan(recipe: Path, data: st.DataObject) -> None:
    mutant = yaml.safe_load(DEMO.read_text())
    for _ in range(data.draw(st.integers(1, 3))):
        mutate(data, mutant)
    recipe.write_text(yaml.safe_dump(mutant, sort_keys=False), "utf-8", "surrogatepass")
    validate(str(recipe), "--runs", str(recipe.parent / "runs"), command="plan")
