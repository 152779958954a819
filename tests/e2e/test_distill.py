"""Distillation through whole runs: what a teacher gives, what is refused, what a kill costs."""

import csv
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from jpqd import data, evaluation, model, recipe, runner
from jpqd.distillation import PROJECTION
from jpqd.errors import DataError, JpqdError, RecipeError, SourceError
from jpqd.loop import Loop
from jpqd.plan import plan
from jpqd.progress import Progress
from jpqd.stage import Context
from jpqd.student import layers_of
from tests import tiny
from tests.e2e.test_processes import torchrun

HEAD = tiny.RECIPE[: tiny.RECIPE.index("stages:")].replace("0.0001", "60")
COMMON = "use: train, epochs: 1, batch_size: 16, precision: f32, learning_rate: 3.0e-3"
ROWS = 160


@dataclass
class Place:
    """A folder with a trained teacher, and the data that it was trained on."""

    folder: Path

    @property
    def teacher(self) -> Path:
        return self.folder / "runs" / "tiny" / "dense"

    def recipe(self, stages: str, *changes: tuple[str, str], name: str = "small") -> Path:
        text = (self.folder / "tiny.yaml").read_text()
        text = text[: text.index("stages:")] + "stages:\n" + stages
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        path = self.folder / f"{name}.yaml"
        path.write_text(text)
        return path

    def run(self, path: Path) -> Path:
        runner.execute(recipe.load(path), self.folder / "runs", Progress(quiet=True))
        return self.folder / "runs" / path.stem

    def small(self, distill: str, *changes: tuple[str, str]) -> Path:
        """A narrow student from random weights that learns with these settings."""
        stages = f"  small: {{{COMMON}, methods: [{{use: distill, {distill}}}]}}\n"
        return self.recipe(stages, ("hidden_size: 32", "hidden_size: 16"), *changes)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("distill")
    stages = f"stages:\n  dense: {{{COMMON.replace('epochs: 1', 'epochs: 6')}}}\n"
    path = tiny.write_recipe(folder, rows=ROWS, text=HEAD + stages)
    runner.execute(recipe.load(path), folder / "runs", Progress(quiet=True))
    return folder


@pytest.fixture
def place(trained: Path, tmp_path: Path) -> Place:
    """A copy, so that a test may change it."""
    shutil.copytree(trained, tmp_path / "copy")
    for path in (tmp_path / "copy").glob("*.yaml"):
        path.write_text(path.read_text().replace(str(trained), str(tmp_path / "copy")))
    return Place(tmp_path / "copy")


def losses(run: Path, stage: str = "small") -> list[float]:
    history = json.loads((run / stage / "history.json").read_text())
    return [entry["loss"] for entry in history if "loss" in entry]


def weights(folder: Path) -> dict[str, np.ndarray]:
    return load_file(folder / "model.safetensors")


def same(ours: dict[str, np.ndarray], theirs: dict[str, np.ndarray]) -> bool:
    return ours.keys() == theirs.keys() and all(
        np.array_equal(ours[name], theirs[name]) for name in ours
    )


def attached(path: Path, place: Place, **inputs: Path) -> tuple[Any, Any, Any]:
    """The student, its hooks and a batch of train, as the stage would make them."""
    loaded = recipe.load(path)
    stage: Any = loaded.stages["small"]
    cache = place.folder / "runs" / ".cache"
    ctx = Context("small", loaded.model, loaded.task, 3, (), 5.0, inputs, place.folder,
                  place.folder, cache, Progress(quiet=True))  # fmt: skip
    tokenizer = model.load_tokenizer(loaded.model, loaded.task, cache)
    prepared = data.prepare(loaded.task, tokenizer, cache, ctx.progress)
    torch.manual_seed(5)
    network, _ = model.load_for_training(loaded.model, prepared.labels, tokenizer)
    network, hooks = stage.methods[0].attach(network, ctx)
    rows = [prepared.splits["train"][index] for index in (3, 50, 7, 121)]
    return network, hooks, evaluation.collator(tokenizer)(rows)


def test_the_cached_and_the_live_teacher_give_the_same_loss(place: Place) -> None:
    found = []
    for settings in ("", ", hidden: 1.0e-30"):
        network, hooks, batch = attached(place.small(f"teacher: {place.teacher}{settings}"), place)
        assert (hooks.inside is None) == (settings == "")
        network.train()
        logits = torch.tensor([[0.3, -0.2], [1.0, 0.0], [0.0, 2.0], [-1.0, 1.0]])
        out = network(**evaluation.features(batch))
        out.logits = logits
        found.append(hooks.loss(batch, out).item())
    assert found[0] == pytest.approx(found[1], rel=1e-5)
    assert found[0] > 0.01


def test_the_teacher_predicts_once_for_all_runs_of_a_folder(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.run(place.small(f"teacher: {place.teacher}"))
    assert len(list((place.folder / "runs" / ".cache").glob("logits-*.safetensors"))) == 1
    asked: list[int] = []
    predict = evaluation.predict

    def noted(network: Any, split: Any, *more: Any) -> Any:
        asked.append(len(split))
        return predict(network, split, *more)

    monkeypatch.setattr(evaluation, "predict", noted)
    place.run(place.small(f"teacher: {place.teacher}, temperature: 3.0"))
    assert ROWS * 0.95 not in asked
    assert asked


def test_a_student_of_another_size_comes_nearer_to_its_teacher(place: Place) -> None:
    shorter = ("num_hidden_layers: 2", "num_hidden_layers: 1")
    settings = f"teacher: {place.teacher}, weight: 1.0, hidden: 1.0, attention: 1.0"
    run = place.run(place.small(settings, ("epochs: 1", "epochs: 12"), shorter))
    found = losses(run)
    assert sum(found[-5:]) < 0.8 * sum(found[:5])
    history = json.loads((run / "small" / "history.json").read_text())
    assert any(entry.get("distill_loss", 0) > 0 for entry in history)
    saved = weights(run / "small")
    assert not [name for name in saved if "distill" in name]
    config = json.loads((run / "small" / "config.json").read_text())
    assert not config.get("output_hidden_states")
    assert not config.get("output_attentions")


def test_a_teacher_without_weight_changes_nothing(place: Place) -> None:
    narrow = ("hidden_size: 32", "hidden_size: 16")
    plain = losses(place.run(place.recipe(f"  small: {{{COMMON}}}\n", narrow)))
    silent = losses(place.run(place.small(f"teacher: {place.teacher}, weight: 0.0")))
    taught = losses(place.run(place.small(f"teacher: {place.teacher}")))
    assert plain == silent
    assert plain != taught


def write_predictions(
    place: Place, said: Callable[[int], tuple[float, ...]], header: str = "0,1", rows: int = ROWS
) -> Path:
    path = place.folder / "said.csv"
    lines = [header, *(",".join(map(str, said(row))) for row in range(rows))]
    path.write_text("\n".join(lines) + "\n")
    return path


def label_names(place: Place) -> list[str]:
    config = json.loads((place.teacher / "config.json").read_text())
    return list(config["id2label"].values())


def test_a_table_of_predictions_teaches_by_the_rows_of_the_data(place: Place) -> None:
    """Also when rows of train are cut off, and whether probabilities or logits are given."""
    names = label_names(place)
    share = [round(0.001 + 0.998 * row / ROWS, 6) for row in range(ROWS)]
    write_predictions(place, lambda row: (share[row], 1 - share[row]), ",".join(names))
    settings = f"predictions: {place.folder / 'said.csv'}"
    _, hooks, batch = attached(place.small(settings), place)
    texts = [row["text"] for row in rows_of(place)]
    said = hooks.said.softmax(-1)[batch["row"]][:, 0]
    tokenizer = model.load_tokenizer(
        place.teacher, recipe.load(place.small(settings)).task, place.folder
    )
    for row, ids, found in zip(batch["row"], batch["input_ids"], said, strict=True):
        assert found.item() == pytest.approx(share[row], abs=1e-4)
        words = tokenizer(texts[row], truncation=True, max_length=32)["input_ids"]
        assert words == ids[: len(words)].tolist()
    logits = [np.log([one, 1 - one]) + 5 for one in share]
    write_predictions(place, lambda row: tuple(logits[row]), ",".join(names))
    _, again, _ = attached(place.small(settings), place)
    torch.testing.assert_close(again.said.softmax(-1), hooks.said.softmax(-1), atol=1e-5, rtol=0)


def rows_of(place: Place) -> list[dict[str, str]]:
    with (place.folder / "data" / "train.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_with_all_weight_on_the_teacher_labels_teach_nothing(place: Place) -> None:
    write_predictions(place, lambda row: (row / 20, -1.0), ",".join(label_names(place)))
    settings = f"predictions: {place.folder / 'said.csv'}, weight: 1.0"
    first = weights(place.run(place.small(settings)) / "small")
    rows = rows_of(place)
    with (place.folder / "data" / "train.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ["text", "label"])
        writer.writeheader()
        names = sorted({row["label"] for row in rows})
        writer.writerows({**row, "label": names[row["label"] == names[0]]} for row in rows)
    again = weights(place.run(place.small(settings)) / "small")
    assert same(first, again)


def refused(place: Place, path: Path, kind: type[JpqdError]) -> str:
    with pytest.raises(kind) as error:
        place.run(path)
    assert error.value.exit_code == 2
    assert not list((place.folder / "runs" / "small").glob(".work/*/step-*"))
    assert not (place.folder / "runs" / "small" / "small").exists()
    return str(error.value)


def change_labels(place: Place, names: list[str]) -> None:
    path = place.teacher / "config.json"
    config = json.loads(path.read_text())
    config["id2label"] = dict(enumerate(names))
    config["label2id"] = {name: number for number, name in enumerate(names)}
    path.write_text(json.dumps(config))


def test_labels_in_another_order_are_put_in_ours(place: Place) -> None:
    path = place.small(f"teacher: {place.teacher}")
    _, straight, _ = attached(path, place)
    change_labels(place, [name.upper() for name in reversed(label_names(place))])
    _, turned, batch = attached(path, place)
    torch.testing.assert_close(turned.said[batch["row"]], straight.said[batch["row"]].flip(1))


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
        ("predictions: said.csv, hidden: 1.0", "do not say what happens inside a teacher"),
        ("teacher: ./x, weight: 1.5", "must be at most 1"),
    ],
)
def test_a_mistake_in_the_recipe_is_named(place: Place, settings: str, expected: str) -> None:
    with pytest.raises(RecipeError, match=r"stages\.small\.methods\.0") as error:
        recipe.load(place.small(settings))
    assert expected in str(error.value)


def test_a_teacher_or_a_table_that_is_not_there_is_said_before_anything_runs(place: Place) -> None:
    for settings in ("teacher: ./nowhere", "predictions: ./nowhere.csv"):
        message = refused(place, place.small(settings), SourceError)
        assert "nowhere" in message
        assert "there is no such" in message


def test_what_a_teacher_says_is_in_the_fingerprint(place: Place) -> None:
    table = write_predictions(place, lambda row: (0.5, 0.5), ",".join(label_names(place)))

    def fingerprint(settings: str) -> str:
        loaded = recipe.load(place.small(settings))
        return plan(loaded, place.folder / "runs" / "small")[0].fingerprint

    teacher, predictions = f"teacher: {place.teacher}", f"predictions: {table}"
    before = [fingerprint(teacher), fingerprint(predictions)]
    assert [fingerprint(teacher), fingerprint(predictions)] == before
    change_labels(place, ["x", "y"])
    assert fingerprint(teacher) != before[0]
    assert fingerprint(predictions) == before[1]
    table.write_text(table.read_text().replace("0.5", "0.25"))
    assert fingerprint(predictions) != before[1]


CHAIN = f"""\
  dense: {{{COMMON}}}
  half:
    {{use: train, epochs: 1, precision: f32, student: {{from: dense, layers: 1}},
     methods: [{{use: distill, teacher: dense}}]}}
"""


def test_a_student_of_an_earlier_stage_learns_from_it(place: Place) -> None:
    path = place.recipe(CHAIN)
    run = place.run(path)
    assert model.load(run / "half").config.num_hidden_layers == 1
    loaded = recipe.load(path)
    dense, half = plan(loaded, run)
    assert (dense.status, half.status) == ("sealed", "sealed")
    assert "model" not in half.inputs
    assert half.inputs["parents"] == {"dense": dense.fingerprint}
    assert half.inputs["stage"]["student"] == {"from": "dense", "layers": 1}
    assert recipe.Recipe.model_validate(loaded.plain()) == loaded


def test_a_student_starts_with_its_teachers_weights(place: Place) -> None:
    untrained = ("epochs: 1, precision: f32, student", "epochs: 0, precision: f32, student")
    run = place.run(place.recipe(CHAIN, untrained))
    dense, half = (model.load(run / stage) for stage in ("dense", "half"))
    ids = torch.arange(5, 15).reshape(2, 5)
    states = dense(ids, output_hidden_states=True).hidden_states
    expected = dense.classifier(dense.bert.pooler(layers_of(dense)[1](states[0])))
    torch.testing.assert_close(half(ids).logits, expected)


@pytest.mark.parametrize(
    ("student", "expected"),
    [
        ("{from: dense, layers: 1}, needs: [dense]", "both `needs` and `student`"),
        ("{from: nothing, layers: 1}", "'nothing' is no stage"),
        ("{from: dense, layers: [2, 1]}", "the numbers do not go up"),
        ("{from: dense, layers: 0}", "must be greater than 0"),
        ("{layers: 1}", "is missing"),
    ],
)
def test_a_mistake_about_the_student_is_named(place: Place, student: str, expected: str) -> None:
    with pytest.raises(RecipeError, match=r"stages\.half\.student") as error:
        recipe.load(place.recipe(CHAIN, ("{from: dense, layers: 1}", student)))
    assert expected in str(error.value)


INSIDE = "hidden: 1.0, attention: 1.0"


def test_a_student_with_a_projection_goes_on_to_the_same_weights(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = place.small(f"teacher: {place.teacher}, {INSIDE}", ("epochs: 1", "epochs: 3"),
                       ("learning_rate", "average: 0.5, learning_rate"))  # fmt: skip
    whole = place.run(path)
    expected = weights(whole / "small"), (whole / "small" / "history.json").read_text()
    shutil.rmtree(whole)
    commit = Loop._commit

    def die_after_the_first(self: Loop, written: Path) -> None:
        assert PROJECTION + ".weight" in load_file(written / "model.safetensors")
        commit(self, written)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Loop, "_commit", die_after_the_first)
        place.run(path)
    assert len(list(whole.glob(".work/small-*/step-*"))) == 1
    place.run(path)
    assert same(weights(whole / "small"), expected[0])
    figures = ("loss", "distill_loss", "select_accuracy")
    again, once = (
        [[entry.get(figure) for figure in figures] for entry in json.loads(text)]
        for text in ((whole / "small" / "history.json").read_text(), expected[1])
    )
    assert again[:-1] == once[:-1]  # the last entry says how long this process took


def test_two_processes_teach_what_one_teaches(place: Place) -> None:
    settings = f"teacher: {place.teacher}, {INSIDE}"
    path = place.small(settings, ("precision: f32", "precision: f32, dropout: 0.0"))
    one = place.run(path)
    done = torchrun(path, place.folder / "two")
    assert done.returncode == 0, done.stderr
    two = place.folder / "two" / "small"
    np.testing.assert_allclose(losses(one), losses(two), atol=1e-4)
    logits = [load_file(run / "small" / "predictions.safetensors")["logits"] for run in (one, two)]
    np.testing.assert_allclose(*logits, atol=2e-4)
