"""`jpqd shrink`: from a model and texts to a small IR, with its target said to be met or missed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from cli import app
from jpqd.core import artifact
from jpqd.data import corpus
from jpqd.recipe import recipes
from jpqd.run import shrinking
from tests.helpers.distill_place import Place
from tests.helpers.stages import STAGES

TEXTS = 240


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A table of operations, and a benchmark of a few requests."""
    monkeypatch.setattr(recipes, "STAGES", (*recipes.STAGES, *STAGES))
    monkeypatch.setattr(shrinking, "TIMES", "{{use: made_table, needs: [model]}}")
    monkeypatch.setattr(shrinking, "_BENCH_SECONDS", 0.5)
    monkeypatch.setattr(shrinking, "_EVALUATIONS", 2)


def jpqd(*arguments: object) -> Any:
    return CliRunner().invoke(app, [*map(str, arguments)])


def texts(place: Place, count: int = TEXTS) -> Path:
    path = place.folder / "texts.txt"
    path.write_text("".join(f"{text}\n" for text, _ in corpus.reviews("train")[:count]))
    return path


def table(place: Place, head: str = "text,label", count: int = TEXTS) -> Path:
    path = place.folder / "rows.csv"
    lines = [f'"{text}",{label}' for text, label in corpus.reviews("train")[:count]]
    path.write_text("\n".join([head, *lines]))
    return path


def shrink(place: Place, data: Path, *more: object, target: str = "speedup=1.3") -> Any:
    given = ("--data", data, "--target", target, "--runs", place.folder / "runs")
    return jpqd("shrink", place.teacher, *given, *more)


def test_texts_without_labels_become_a_small_ir(place: Place) -> None:
    done = shrink(place, texts(place), "--name", "small")
    assert done.exit_code == 0, done.output
    run = place.folder / "runs" / "small"
    assert "target speedup 1.3: " in done.stdout
    assert "agreement, n 24" in done.stdout
    assert "accuracy" not in done.output
    answer = jpqd("predict", run / "small_ir", "a film")
    assert answer.exit_code == 0, answer.output
    page = (run / "report.md").read_text()
    assert "Agreement" in page
    assert "ccuracy" not in page
    assert jpqd("verify", "small", "--runs", run.parent).exit_code == 0


def test_labels_are_used_where_the_model_knows_them(place: Place) -> None:
    done = shrink(place, table(place), "--name", "small", "--json")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert found["metric"] == "accuracy"
    assert found["small_ir"]["n"] == TEXTS // 10
    assert [one["target"] for one in found["targets"]] == ["speedup"]
    assert "with labels in label" in done.stderr


def test_the_recipe_does_the_same_and_run_again_does_nothing(place: Place) -> None:
    data = texts(place)
    shown = shrink(place, data, "--name", "small", "--recipe-only")
    assert shown.exit_code == 0, shown.output
    runs = place.folder / "runs"
    path = runs / "small" / "shrink.yaml"
    assert yaml.safe_load(shown.stdout) == yaml.safe_load(path.read_text())
    copy = place.folder / "copy.yaml"
    copy.write_text(path.read_text().replace('name: "small"', "name: by_recipe"))
    run = jpqd("run", copy, "--runs", runs)
    assert run.exit_code == 0, run.output
    done = shrink(place, data, "--name", "small")
    assert done.exit_code == 0, done.output
    assert weights(runs / "small") == weights(runs / "by_recipe")
    again = shrink(place, data, "--name", "small")
    assert again.exit_code == 0, again.output
    assert again.output.count("sealed already") == len(yaml.safe_load(shown.stdout)["stages"])
    assert again.stdout == done.stdout


def weights(run: Path) -> str:
    manifest = artifact.read(run / "small")
    assert manifest is not None
    return manifest.files["model.safetensors"].sha256


def test_a_miss_is_said(place: Place) -> None:
    done = shrink(place, texts(place), target="p50_ms=0.0008")
    assert done.exit_code == 0, done.output
    assert "target p50_ms 0.0008: MISSED by " in done.stdout
    assert "predicted 0.000" in done.stdout


def test_two_texts_and_two_targets(place: Place) -> None:
    path = place.folder / "pairs.txt"
    words = [text for text, _ in corpus.reviews("train")[:TEXTS]]
    path.write_text("".join(f"{a}\t{b}\n" for a, b in zip(words, words[::-1], strict=True)))
    more = ("--target", "size_mb=1", "--recipe-only")
    done = shrink(place, path, *more)
    assert done.exit_code == 0, done.output
    recipe = yaml.safe_load(done.stdout)
    assert recipe["task"]["text"] == ["text_a", "text_b"]
    assert recipe["stages"]["plan"]["target"] == {"speedup": 1.3, "size_mb": 1.0}
    assert recipe["name"] == "dense_speedup1.3_size_mb1"


def test_another_files_labels_are_not_taken_for_the_models(place: Place) -> None:
    done = shrink(place, table(place, "review,topic"), "--recipe-only", "--text", "review")
    task = yaml.safe_load(done.stdout)["task"]
    assert (task["use"], task["label"]) == ("classification", "topic")
    path = table(place)
    path.write_text(path.read_text().replace(",0\n", ",sports\n"))
    task = yaml.safe_load(shrink(place, path, "--recipe-only").stdout)["task"]
    assert (task["use"], task["label"]) == ("agreement", "own_answer")


MISTAKES = {
    "speedup=fast": "--target speedup=fast: give a number, such as speedup=2",
    "speed=2": "did you mean 'speedup'?",
    "speedup=0.5": "greater than 1",
    "speedup": "give a number",
}


@pytest.mark.parametrize("target", MISTAKES)
def test_a_target_that_is_none_is_named(place: Place, target: str) -> None:
    done = shrink(place, texts(place), target=target)
    assert done.exit_code == 2
    assert MISTAKES[target] in done.stderr


def test_data_that_does_not_do_is_named(place: Place) -> None:
    few = shrink(place, texts(place, 20))
    assert few.exit_code == 2 and "20 rows with a text are too few. Give 100" in few.stderr
    lost = shrink(place, place.folder / "no.txt")
    assert lost.exit_code == 2 and "there is no such file" in lost.stderr
    column = shrink(place, table(place), "--text", "txt")
    assert column.exit_code == 2 and "did you mean 'text'?" in column.stderr
    named = shrink(place, texts(place), "--name", "../out")
    assert named.exit_code == 2 and "--name ../out" in named.stderr


def test_a_model_that_has_nothing_to_say_is_named(place: Place, tmp_path: Path) -> None:
    data = texts(place)
    model = tmp_path / "model"
    shutil.copytree(place.teacher, model)
    (model / "manifest.json").unlink()
    config = json.loads((model / "config.json").read_text())

    def told(**changes: object) -> Any:
        (model / "config.json").write_text(json.dumps({**config, **changes}))
        given = ("--data", data, "--target", "speedup=2", "--runs", tmp_path / "runs")
        return jpqd("shrink", model, *given)

    masked = told(architectures=["BertForMaskedLM"])
    assert masked.exit_code == 2 and "it is a BertForMaskedLM" in masked.stderr
    more = told(id2label={"0": "a", "1": "b", "2": "c"}, label2id={"a": 0, "b": 1, "c": 2})
    assert more.exit_code == 2 and "its head is not trained" in more.stderr
