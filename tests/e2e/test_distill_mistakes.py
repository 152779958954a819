"""What cannot teach is refused before training starts, with the reason and the remedy."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file
from typer.testing import CliRunner

from cli import app
from jpqd.core.errors import DataError, JpqdError, RecipeError, SourceError
from jpqd.methods.distill import teachers
from jpqd.model import loading
from jpqd.recipe import recipes
from jpqd.recipe.task import Task
from tests.helpers.distill_place import (
    COMMON,
    ROWS,
    Place,
    change_labels,
    label_names,
    write_predictions,
)


def refused(place: Place, path: Path, kind: type[JpqdError]) -> str:
    with pytest.raises(kind) as error:
        place.run(path)
    assert error.value.exit_code == 2
    assert not list((place.folder / "runs" / "small").glob(".work/*/step-*"))
    assert not (place.folder / "runs" / "small" / "small").exists()
    return str(error.value)


@pytest.mark.parametrize("names", [["cat", "dog"], ["LABEL_0", "LABEL_7"]])
def test_other_labels_are_refused(place: Place, names: list[str]) -> None:
    change_labels(place, names)
    message = refused(place, place.small(f"teacher: {place.teacher}"), SourceError)
    assert f"small: distill: teacher '{place.teacher}': its classes are {names[0]!r}" in message
    assert "predictions" in message


def test_a_teacher_with_another_tokenizer_is_refused(place: Place) -> None:
    path = place.small(f"teacher: {place.teacher}", ("vocab_size: 400", "vocab_size: 390"))
    message = refused(place, path, SourceError)
    assert "is not the student's" in message
    assert "with `predictions`" in message


def test_a_teacher_that_tells_two_texts_apart_otherwise_is_refused(place: Place) -> None:
    tokenizer = loading.tokenizer_from(place.teacher)
    other = loading.tokenizer_from(place.teacher)
    other.model_input_names = ["input_ids", "attention_mask"]
    task = Task(name="two", dataset="builtin:reviews", text=("a", "b"), max_length=32)
    with pytest.raises(SourceError, match="only one of it and the student reads token_type_ids"):
        teachers._check_tokens(tokenizer, other, task, "small: distill")
    teachers._check_tokens(tokenizer, other, task.model_copy(update={"text": ("a",)}), "small")


@pytest.mark.parametrize(
    ("header", "rows", "said", "expected"),
    [
        ("{0},{1}", ROWS - 1, 0.5, "159 rows, but train has 160"),
        ("{0},other", ROWS, 0.5, "no column for the label '{1}'"),
        ("{0},{1}", ROWS, "", "column '{0}' holds no number"),
    ],
)
def test_a_table_that_does_not_fit_is_refused(
    place: Place, header: str, rows: int, said: Any, expected: str
) -> None:
    names = label_names(place)
    write_predictions(place, lambda row: (said, 0.5), header.format(*names), rows)
    path = place.small(f"predictions: {place.folder / 'said.csv'}")
    message = refused(place, path, DataError)
    assert "small: distill: predictions" in message
    assert expected.format(*names) in message


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ("temperature: 1.0", "the method takes either `teacher` or `predictions`"),
        ("teacher: dense, predictions: a.csv", "takes either `teacher` or `predictions`"),
        ("teacher: dense", "'dense' is no stage"),
        ("teacher: 7", "must be text"),
        ("teacher: 'a b'", "neither a stage's name nor a path that exists nor a hub id"),
        ("predictions: said.txt", "is no table"),
        ("predictions: said.csv, hidden: 1.0", "needs a teacher that can be asked"),
        ("teacher: ./x, weight: 1.5", "must be at most 1"),
        ("teacher: ./x, variants: 2", "Give augment, such as 0.15"),
        ("teacher: ./x, augment: 0.1, variants: 2, hidden: 1.0", "Leave variants out"),
    ],
)
def test_a_mistake_in_the_recipe_is_named(place: Place, settings: str, expected: str) -> None:
    with pytest.raises(RecipeError, match=r"stages\.small\.methods\.0") as error:
        recipes.load(place.small(settings))
    assert expected in str(error.value)


@pytest.mark.parametrize("learner", [
    "methods: [{use: distill, teacher: check}]", "student: {from: check, layers: 1}",
])  # fmt: skip
def test_what_is_no_model_teaches_nobody(place: Place, learner: str) -> None:
    stages = f"  dense: {{{COMMON}}}\n  check: {{use: evaluate, needs: [dense]}}\n"
    with pytest.raises(RecipeError, match="'check' is a stage of `use: evaluate`, which makes no"):
        recipes.load(place.recipe(stages + f"  small: {{{COMMON}, {learner}}}\n"))


def test_a_teacher_or_a_table_that_is_not_there_is_said_before_anything_runs(place: Place) -> None:
    for settings in ("teacher: ./nowhere", "predictions: ./nowhere.csv"):
        message = refused(place, place.small(settings), SourceError)
        assert "nowhere" in message
        assert "there is no such" in message


def make_regression(place: Place) -> None:
    for split in ("train", "validation"):
        path = place.folder / "data" / f"{split}.csv"
        with path.open(newline="") as file:
            rows = list(csv.DictReader(file))
        lines = [f'"{row["text"]}",{len(row["text"]) % 7 + 0.5}' for row in rows]
        path.write_text("\n".join(["text,label", *lines]) + "\n")


def test_a_classifier_cannot_teach_a_regression(place: Place) -> None:
    make_regression(place)
    message = refused(place, place.small(f"teacher: {place.teacher}"), SourceError)
    assert "it tells 2 classes apart, and the task is a regression" in message


def test_a_regression_learns_from_a_table_with_one_column(place: Place) -> None:
    make_regression(place)
    table = write_predictions(place, lambda row: (3.0,), "label")
    settings = f"predictions: {table}, weight: 1.0"
    run = place.run(place.small(settings, ("epochs: 1", "epochs: 30")))
    logits = load_file(run / "small" / "predictions.safetensors")["logits"]
    np.testing.assert_allclose(logits, 3.0, atol=0.3)


def test_stages_of_an_earlier_recipe_are_not_shown_as_this_ones(place: Place) -> None:
    path = place.recipe(f"  dense: {{{COMMON}}}\n  check: {{use: evaluate, needs: [dense]}}\n")
    place.run(path)
    more = ("--set", "stages.dense.learning_rate=1.0e-3", "--until", "dense", "--json")
    given = ["run", str(path), "--runs", str(place.folder / "runs")]
    done = CliRunner().invoke(app, [*given, *more])
    assert done.exit_code == 0, done.output
    assert "of what this recipe was before: check" in done.stderr
    table = CliRunner().invoke(app, [*given, *more[:-1]]).stdout
    assert "dense" in table
    assert "check" not in table
