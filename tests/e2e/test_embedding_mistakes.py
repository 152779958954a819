"""What an embedding model has to say of itself, and what cannot be learnt."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from jpqd.model import pooling
from jpqd.model.pooling import Pooling
from jpqd.recipe import recipes
from jpqd.run import plan as planning
from tests.helpers import embedding_place as place
from tests.helpers.export_place import jpqd


def refused(folder: Path, task: str, stages: str, code: int = 2) -> str:
    folder.mkdir(exist_ok=True)
    place.write_model(folder / "model")
    place.write_pairs(folder / "data", rows=40)
    text = f"name: r\nmodel: {folder / 'model'}\ntask: {task}\nstages:\n  {stages}\n"
    (folder / "r.yaml").write_text(text.replace("DATA", str(folder / "data")))
    done = jpqd("run", folder / "r.yaml", "--runs", folder / "runs")
    assert done.exit_code == code, done.output
    return done.stderr


TASK = "{use: embedding, name: r, dataset: DATA, text: [one], max_length: 24%s}"


def test_a_model_that_does_not_say_its_pooling_is_refused_until_the_task_does(
    tmp_path: Path,
) -> None:
    told = refused(tmp_path, TASK % "", "whole: {use: train, epochs: 0}")
    assert "modules.json" in told and "task.pooling" in told
    refused(tmp_path, TASK % ", pooling: last", "whole: {use: train, epochs: 0}", code=0)
    (whole,) = (tmp_path / "runs" / "r").glob("whole")
    config = json.loads((whole / "1_Pooling" / "config.json").read_text())
    assert config["pooling_mode_lasttoken"] and not config["pooling_mode_mean_tokens"]


def test_dimensions_that_are_all_or_more_are_refused(tmp_path: Path) -> None:
    task = TASK % ", pooling: cls, dimensions: [16, 32]"
    told = refused(tmp_path, task, "whole: {use: train, epochs: 0}")
    assert "dimensions: 32: its vectors have 32 numbers" in told


def test_without_a_teacher_there_is_nothing_to_learn(tmp_path: Path) -> None:
    told = refused(tmp_path, TASK % ", pooling: cls", "whole: {use: train, epochs: 1}")
    assert "no labels to learn from" in told and "distill" in told


def test_a_teacher_of_another_width_is_refused(tmp_path: Path) -> None:
    place.write_model(tmp_path / "wide", how=Pooling("mean"), hidden_size=64)
    distill = f"{{use: distill, teacher: {tmp_path / 'wide'}, weight: 1.0}}"
    stage = f"{{use: train, epochs: 1, methods: [{distill}]}}"
    told = refused(tmp_path, TASK % ", pooling: cls", f"small: {stage}")
    assert "64 numbers, and the student's 32" in told


def test_a_score_needs_two_texts(tmp_path: Path) -> None:
    task = TASK % ", pooling: cls, label: score"
    assert "scores a pair" in refused(tmp_path, task, "whole: {use: train, epochs: 0}")


@pytest.mark.parametrize(
    ("modules", "config", "said"),
    [
        (["Transformer", "Pooling", "Dense"], {"pooling_mode_mean_tokens": True}, "Dense"),
        (["Transformer", "Pooling"], {"pooling_mode_max_tokens": True}, "max_tokens"),
        (["Transformer", "Pooling"], {}, "not said"),
    ],
)
def test_an_unknown_pooling_is_named(
    tmp_path: Path, modules: list[str], config: dict[str, bool], said: str
) -> None:
    place.write_model(tmp_path / "model", how=Pooling("mean"))
    chain = [{"type": f"x.{name}", "path": "1_Pooling" * (name == "Pooling")} for name in modules]
    (tmp_path / "model" / "modules.json").write_text(json.dumps(chain))
    (tmp_path / "model" / "1_Pooling" / "config.json").write_text(json.dumps(config))
    done = jpqd("export", "--ir", tmp_path / "model", "--out", tmp_path / "ir")
    assert done.exit_code == 2
    assert said in done.stderr and "cls, mean and last" in done.stderr


def test_the_pooling_of_a_teacher_is_in_the_fingerprint(tmp_path: Path) -> None:
    for name in ("model", "teacher"):
        place.write_model(tmp_path / name, how=Pooling("mean"))
    place.write_pairs(tmp_path / "data", rows=40)
    distill = f"{{use: distill, teacher: {tmp_path / 'teacher'}, weight: 1.0}}"
    task = (TASK % "").replace("DATA", str(tmp_path / "data"))
    stage = f"{{use: train, epochs: 1, methods: [{distill}]}}"
    path = tmp_path / "r.yaml"
    path.write_text(
        f"name: r\nmodel: {tmp_path / 'model'}\ntask: {task}\nstages:\n  small: {stage}\n"
    )
    found = []
    for how in ("mean", "cls", "cls"):
        pooling.save(Pooling(how), tmp_path / "teacher", 32)
        (step,) = planning.plan(recipes.load(path), tmp_path / "runs" / "r")
        found.append(step.fingerprint)
    assert found[0] != found[1] == found[2]
