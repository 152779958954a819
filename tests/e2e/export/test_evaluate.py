"""`jpqd evaluate`: figures on any file of rows, of a stage and of its IR."""

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from safetensors.numpy import load_file

from jpqd.data import corpus
from tests.helpers import tiny
from tests.helpers.export_place import jpqd, manifest, other_data

ROWS = corpus.reviews("validation")[:64]


def evaluated(*arguments: object) -> dict[str, Any]:
    done = jpqd("evaluate", *arguments, "--json")
    assert done.exit_code == 0, done.output
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def write(path: Path, head: list[str], rows: list[tuple[Any, ...]]) -> Path:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([head, *rows])
    return path


def test_a_stage_on_the_reported_rows_has_the_figures_of_its_manifest(trained: Path) -> None:
    data, runs = trained / "data" / "validation.csv", trained / "runs"
    for stage in ("teacher", "jpqd"):
        found = evaluated(stage, "--data", data, "--runs", runs)
        sealed = tiny.manifest(runs, stage)["metrics"]["validation"]
        assert {name: found["figures"][name] for name in sealed} == sealed
        assert found["runtime"] == "PyTorch"
        right = [row[number] for number, row in enumerate(found["classes"]["confusion"])]
        assert sum(right) / 64 == sealed["accuracy"]
        assert [one["class"] for one in found["classes"]["each"]] == ["0", "1"]


def test_the_rows_of_one_class_keep_their_class(trained: Path, tmp_path: Path) -> None:
    runs = trained / "runs"
    sealed = load_file(runs / "tiny" / "jpqd" / "predictions.safetensors")
    ones = sealed["labels"] == 1
    right = (sealed["logits"].argmax(1) == sealed["labels"])[ones].mean()
    data = write(tmp_path / "ones.csv", ["text", "label"], [row for row in ROWS if row[1] == 1])
    found = evaluated("jpqd", "--data", data, "--runs", runs)
    assert found["figures"]["accuracy"] == pytest.approx(right)


def test_an_ir_runs_in_openvino_under_its_name_or_its_folder(trained: Path) -> None:
    data, runs = trained / "data" / "validation.csv", trained / "runs"
    by_name = evaluated("ir", "--data", data, "--runs", runs)
    assert by_name["runtime"] == "OpenVINO"
    assert by_name == evaluated(runs / "tiny" / "ir", "--data", data)
    expected = tiny.manifest(runs, "ir")["metrics"]["validation"]["accuracy"]
    assert by_name["figures"]["accuracy"] == pytest.approx(expected, abs=2 / 64)
    shown = jpqd("evaluate", "ir", "--data", data, "--runs", runs)
    assert "n = 64" in shown.stdout and "macro_f1, %" in shown.stdout
    assert "precision" in shown.stdout and "as 1" in shown.stdout


def test_other_columns_are_given_and_rows_without_a_label_counted(
    trained: Path, tmp_path: Path
) -> None:
    rows = [
        (number, text, "" if number < 3 else label) for number, (text, label) in enumerate(ROWS)
    ]
    data = write(tmp_path / "new.csv", ["id", "review", "verdict"], rows)
    given = ("teacher", "--data", data, "--runs", trained / "runs")
    wrong = jpqd("evaluate", *given)
    assert wrong.exit_code == 2
    assert f"{data}: there is no column 'text'" in wrong.stderr and "Set --text." in wrong.stderr
    found = evaluated(*given, "--text", "review", "--label", "verdict")
    assert found["rows"] == {"used": 61, "unusable": 3}
    assert found["figures"]["n"] == 61


def test_an_ir_of_fixed_shape_answers_any_number_of_rows(trained: Path, tmp_path: Path) -> None:
    out, runs = tmp_path / "static", trained / "runs"
    made = jpqd("export", "teacher", "--shape", "static:4,24", "--runs", runs, "--out", out)
    assert made.exit_code == 0, made.output
    data = write(tmp_path / "ten.csv", ["text", "label"], list(ROWS[:10]))
    assert evaluated(out, "--data", data)["figures"]["n"] == 10


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([("good", "yes"), ("bad", "no")], "holds 'no', 'yes', which does not fit"),
        ([("good", ""), ("", "1")], "no row has both a text and a label"),
    ],
)
def test_a_file_that_does_not_fit_is_refused(
    trained: Path, tmp_path: Path, rows: list[tuple[str, str]], said: str
) -> None:
    data = write(tmp_path / "other.csv", ["text", "label"], rows)
    done = jpqd("evaluate", "teacher", "--data", data, "--runs", trained / "runs")
    assert done.exit_code == 2, done.output
    assert said in done.stderr


def test_a_stage_without_a_model_and_a_missing_file_are_named(trained: Path) -> None:
    data, runs = trained / "data" / "validation.csv", trained / "runs"
    stage = jpqd("evaluate", "check", "--data", data, "--runs", runs)
    assert stage.exit_code == 2 and "which makes no model" in stage.stderr
    missing = jpqd("evaluate", "teacher", "--data", "none.csv", "--runs", runs)
    assert missing.exit_code == 2 and "there is no such file" in missing.stderr


def test_a_regression_has_correlations_with_an_interval(tmp_path: Path) -> None:
    rows = [f"alpha {i % 7}\tbeta {i % 5}\t{(i % 7 + i % 5) / 2}" for i in range(60)]
    columns = ("task.text=[one, two]", "task.label=score")
    folder = other_data(tmp_path, ["one\ttwo\tscore", *rows], *columns)
    assert evaluated(folder, "--data", tmp_path / "validation.tsv")["figures"]["n"] == 60
    stage = folder.with_name("teacher")
    found = evaluated(stage, "--data", tmp_path / "validation.tsv")
    sealed = manifest(stage)["metrics"]["validation"]
    assert found["figures"]["pearson"] == pytest.approx(sealed["pearson"], abs=0.01)
    low, high = found["figures"]["pearson_95"]
    assert low < found["figures"]["pearson"] < high
    assert {"spearman", "mse", "n"} < found["figures"].keys() and found["classes"] is None


def test_a_model_of_one_text_is_not_measured_on_two(tmp_path: Path) -> None:
    shutil.copytree(Path(__file__).parents[2] / "data" / "v01" / "sealed", tmp_path / "sealed")
    sealed = tmp_path / "sealed" / "jpqd_ir"
    data = write(tmp_path / "two.csv", ["a", "b", "label"], [(row[0], *row) for row in ROWS])
    done = jpqd("evaluate", sealed, "--data", data, "--text", "a,b")
    assert done.exit_code == 2, done.output
    assert "--text a,b:" in done.stderr and "reads one in a row. Name 1 of the" in done.stderr
    assert evaluated(sealed, "--data", data, "--text", "b")["figures"]["n"] == 64
