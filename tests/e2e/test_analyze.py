"""`jpqd analyze`: stages that are added to a run, a forecast, and gates."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cli import app
from jpqd.core import artifact, seals
from jpqd.core.names import RECIPE as RECIPE_FILE
from jpqd.core.progress import Progress
from jpqd.data import corpus
from jpqd.recipe import recipes
from jpqd.run import finder, runner

RECIPE = """\
model: {new: bert, hidden_size: 32, num_hidden_layers: 1, num_attention_heads: 2,
        intermediate_size: 64, vocab_size: 400}
task: {name: reviews, dataset: "builtin:reviews", text: [text], label: label,
       labels: [negative, positive], max_length: 24, train_rows: 480}
stages:
  teacher: {use: train, epochs: 1, batch_size: 16, learning_rate: 3.0e-3, precision: f32}
  ptq: {use: train, needs: [teacher], epochs: 0, methods: [{use: quantize}]}
"""


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("analyze")
    (folder / "some.yaml").write_text(RECIPE)
    runner.execute(recipes.load(folder / "some.yaml"), folder / "runs", Progress(quiet=True))
    return folder / "runs"


def analyze(runs: Path, *arguments: object) -> Any:
    return CliRunner().invoke(app, ["analyze", *map(str, arguments), "--runs", str(runs)])


def test_a_forecast_does_nothing(runs: Path) -> None:
    done = analyze(runs, "--forecast")
    assert done.exit_code == 0, done.output
    for use in ("robustness", "bit_widths", "sensitivity"):
        assert f"{use}: about " in done.stderr
    assert {path.name for path in (runs / "some").iterdir() if path.is_dir()} <= {
        "teacher", "ptq", ".work"
    }  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--only", "robust"], "did you mean 'robustness'"),
        (["--gate", "robustness.clean<1"], "is not a comparison"),
        (
            ["--only", "sensitivity", "--gate", "robustness.clean.drop<=1"],
            "no stage of robustness is there or to come",
        ),
        (["--minutes", "0.1", "--only", "bit_widths"], "does not fit into 0.1 minutes"),
        (["--gate", "robustness.ptqq.clean.drop<=1"], "did you mean 'ptq'"),
        (["--text", "a"], "Give that, too"),
        (["nowhere"], "there is no run 'nowhere'"),
        (["--data", "rows.csv"], "Name it, too"),
    ],
)
def test_mistakes_are_named_before_anything_is_done(
    runs: Path, arguments: list[str], says: str
) -> None:
    done = analyze(runs, *arguments)
    assert done.exit_code == 2, done.output
    assert says in done.stderr
    assert not (runs / "some" / "robustness").exists()


def test_stages_are_added_and_gates_decide(runs: Path) -> None:
    kept = analyze(runs, "some", "--only", "robustness,sensitivity", "--json",
                   "--gate", "robustness.clean.drop<=100")  # fmt: skip
    assert kept.exit_code == 0, kept.output
    said = json.loads(kept.stdout)
    assert [stage["use"] for stage in said["stages"]] == ["robustness", "sensitivity"]
    assert [gate["passed"] for gate in said["gates"]] == [True]
    assert "Robustness: robustness" in (runs / "some" / "report.html").read_text()
    again = analyze(runs, "some", "--only", "robustness", "--gate", "robustness.clean.drop<=-50")
    assert again.exit_code == 1
    assert "NOT kept" in again.stdout
    assert "robustness: it is there" in again.stderr
    assert "Robustness: robustness" in again.stdout
    assert (
        artifact.open_sealed(runs / "some" / "robustness").manifest.metrics
        == (said["stages"][0]["metrics"])
    )


def test_another_model_makes_an_analysis_anew(runs: Path) -> None:
    copy = shutil.copytree(runs / "some", runs / "copy")
    done = analyze(runs, copy, "--only", "robustness", "--gate", "robustness.clean.drop<=100")
    assert done.exit_code == 0, done.output
    assert "it is there" in done.stderr
    path = runs.parent / "copy.yaml"
    path.write_text(RECIPE + "  ptq_ir: {use: ov_ir, needs: [ptq]}\n")
    runner.execute(recipes.load(path), runs, Progress(quiet=True))
    done = analyze(runs, copy, "--only", "robustness", "--gate", "robustness.clean.drop<=100")
    assert done.exit_code == 0, done.output
    found = artifact.open_sealed(copy / "robustness").manifest.metrics["robustness"]
    assert list(found) == ["teacher", "ptq_ir"]
    before = artifact.open_sealed(runs / "some" / "robustness").manifest.metrics["robustness"]
    assert list(before) == ["teacher", "ptq"]


def test_what_is_not_sealed_is_left_and_what_would_run_again_is_refused(runs: Path) -> None:
    path = runs.parent / "late.yaml"
    path.write_text(RECIPE + "  more: {use: train, needs: [teacher], epochs: 1}\n")
    runner.execute(recipes.load(path), runs, Progress(quiet=True), until="teacher")
    done = analyze(runs, "late", "--only", "robustness")
    assert done.exit_code == 0, done.output
    found = artifact.open_sealed(runs / "late" / "robustness").manifest.metrics["robustness"]
    assert list(found) == ["teacher"]
    late = finder.find(runs, "late")
    assert set(late.unsealed) == {"ptq", "more"}  # the recipe knows them still
    recipe = recipes.load(path, ("stages.teacher.epochs=2",))
    seals.write(runs / "late" / RECIPE_FILE, recipe.plain())
    again = analyze(runs, "late", "--only", "sensitivity")
    assert again.exit_code == 2
    assert "stage teacher would run again" in again.stderr


def test_a_models_folder_and_a_table_are_enough(runs: Path, tmp_path: Path) -> None:
    rows = tmp_path / "rows.csv"
    lines = [f'"{text}",{label}' for text, label in corpus.reviews("train")[:240]]
    rows.write_text("\n".join(["text,label", *lines]))
    teacher = runs / "some" / "teacher"
    refused = analyze(tmp_path, shutil.copytree(teacher, tmp_path / "given"))
    assert refused.exit_code == 2
    assert "--data FILE" in refused.stderr
    done = analyze(tmp_path, teacher, "--data", rows, "--only", "robustness")
    assert done.exit_code == 0, done.output
    found = artifact.open_sealed(tmp_path / "teacher_analysis" / "robustness").manifest.metrics
    assert list(found["robustness"]) == ["model", "ptq"]
    stage = analyze(tmp_path, tmp_path / "teacher_analysis" / "model")
    assert stage.exit_code == 2
    assert "is a stage. Analyze its run" in stage.stderr
    texts = tmp_path / "texts.txt"
    texts.write_text("".join(f"{text}\n" for text, _ in corpus.reviews("train")[:240]))
    again = analyze(tmp_path, teacher, "--data", texts, "--only", "robustness")
    assert again.exit_code == 0, again.output
    found = artifact.open_sealed(tmp_path / "teacher_analysis" / "robustness").manifest.metrics
    assert found["robustness"]["model"]["clean"]["agreement"] == 1.0  # of the model with itself


def test_a_gates_noise_is_measured_where_it_was_not(runs: Path) -> None:
    first = analyze(runs, "some", "--only", "robustness")
    assert first.exit_code == 0, first.output
    gate = ("--gate", "robustness.noise_30.drop<=100")
    done = analyze(runs, "some", "--only", "robustness", *gate)
    assert done.exit_code == 0, done.output
    again = analyze(runs, "some", "--only", "robustness", *gate)
    assert "it is there" in again.stderr
    never = analyze(runs, "some", "--only", "robustness", "--gate", "robustness.noise_100.drop<=1")
    assert never.exit_code == 2
    assert "above 0 and below 100" in never.stderr


def test_what_a_recipe_asks_for_itself_stays(runs: Path) -> None:
    shifted = runs.parent / "shifted.csv"
    rows = [f'"{text}",{label}' for text, label in corpus.reviews("train")[:20]]
    shifted.write_text("\n".join(["text,label", *rows]))
    path = runs.parent / "own.yaml"
    path.write_text(
        RECIPE
        + f"  robustness: {{use: robustness, needs: [teacher], shift: {{more: {shifted}}}}}\n"
    )
    runner.execute(recipes.load(path), runs, Progress(quiet=True))
    before = artifact.open_sealed(runs / "own" / "robustness").manifest
    done = analyze(runs, "own", "--only", "robustness")
    assert done.exit_code == 0, done.output
    assert "robustness: it is there" in done.stderr
    assert artifact.open_sealed(runs / "own" / "robustness").manifest == before


def test_a_run_without_its_baseline_is_named(runs: Path) -> None:
    copy = shutil.copytree(runs / "some", runs / "headless")
    shutil.rmtree(copy / "teacher")
    done = analyze(runs, "headless")
    assert done.exit_code == 2
    assert "teacher is not sealed" in done.stderr
