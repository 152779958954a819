"""Which stages are compared, and what is said of those that are not: sealed folders by hand."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file
from sklearn.metrics import f1_score, matthews_corrcoef
from typer.testing import CliRunner, Result

from cli import app
from jpqd.core import artifact
from tests.helpers import reseal

TRUTH = np.array([0, 1] * 20)
SMALL = {"encoder_share": 0.25, "nonzero_share": 0.2, "parameters": 1234567, "precision": "INT8"}


def compare(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["compare", *(str(argument) for argument in arguments)])


def classes(wrong: int) -> np.ndarray:
    """Logits that get the first rows wrong."""
    guess = TRUTH.copy()
    guess[:wrong] = 1 - guess[:wrong]
    return np.eye(2, dtype=np.float32)[guess]


def seal(
    run: Path,
    stage: str,
    logits: np.ndarray | None,
    truth: np.ndarray = TRUTH,
    split: str = "validation",
    metric: str = "accuracy",
    **more: Any,
) -> None:
    folder = run / stage
    folder.mkdir(parents=True)
    metrics = {split: {"n": len(truth), metric: 0.0}, **more}
    if logits is not None:
        save_file({"logits": logits, "labels": truth}, folder / "predictions.safetensors")
    facts = {"stage": stage, "use": "train", "fingerprint": "f", "inputs": {}, "metrics": metrics}
    artifact.close(folder, {**facts, "seconds": 1, "created": "now", "environment": {}})
    recipe = run / "recipe.json"
    stages = json.loads(recipe.read_text())["stages"] if recipe.exists() else {}
    recipe.write_text(json.dumps({"task": {}, "stages": {**stages, stage: {}}}))


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "one"
    seal(folder, "teacher", classes(4))
    seal(folder, "small", classes(8), model=SMALL)
    return folder


def test_a_stage_beside_its_baseline(run: Path) -> None:
    found = compare(run)
    assert found.exit_code == 0, found.stderr
    assert "validation, n = 40, against teacher" in found.stdout
    lines = [line for line in found.stdout.splitlines() if "small " in line]
    says, f1, *_, alike, model = lines
    assert max(map(len, lines)) < 80
    assert says.split() == ["small", "80.00", "-10.00", "[-20.59,", "+1.54]", "0.125"]
    assert f1.split()[:5] == ["f1", "%", "small", "80.00", "-10.00"]
    assert alike.split()[:4] == ["small", "90.00", "[76.95,", "96.04]"]
    assert float(alike.split()[4]) > 0
    assert model.split() == ["small", "25.0", "20.0", "1,234,567", "INT8"]


def test_the_newest_run_is_compared_when_none_is_named(run: Path) -> None:
    found = compare("--runs", run.parent)
    assert found.exit_code == 0, found.stderr
    assert "one: validation, n = 40" in found.stdout


def test_a_table_for_github(run: Path) -> None:
    lines = compare(run, "--markdown").stdout.splitlines()
    assert lines[2].startswith(
        "| stage | accuracy % | points [95%] | McNemar p | f1 % | f1 points [95%] | macro_f1 % |"
    )
    assert lines[3].startswith("| --- | ---: |")
    assert lines[4].startswith("| teacher | 90.00 | - | - | 90.00 | - | 90.00 | - | 0.8000 |")
    assert {line.count("|") for line in lines[2:]} == {17}


def test_f1_is_compared_with_intervals_on_the_same_rows(tmp_path: Path) -> None:
    """Both get 32 of 40 rows right; `small` finds none of the rare class."""
    truth = np.array([0] * 16 + [1] * 16 + [2] * 8)
    evens = truth.copy()
    evens[::5] = (evens[::5] + 1) % 3
    seal(tmp_path / "one", "teacher", np.eye(3)[evens].astype(np.float32), truth)
    seal(tmp_path / "one", "small", np.eye(3)[truth % 2].astype(np.float32), truth)
    found = json.loads(compare(tmp_path / "one", "--json").stdout)["stages"]
    teacher, small = found
    assert teacher["value"] == small["value"] == 0.8
    for stage, guess in ((teacher, evens), (small, truth % 2)):
        assert stage["figures"]["f1"] == pytest.approx(f1_score(truth, guess, average="macro"))
        assert stage["figures"]["matthews"] == pytest.approx(matthews_corrcoef(truth, guess))
    middle, low, high = small["differences"]["f1"]
    assert middle == pytest.approx(small["figures"]["f1"] - teacher["figures"]["f1"])
    assert low < middle < high < 0
    assert teacher["differences"] == {}
    assert small["classes"]["confusion"] == [[16, 0, 0], [0, 16, 0], [8, 0, 0]]
    rare = small["classes"]["each"][2]
    assert rare == {"class": "2", "n": 8, "precision": 0.0, "recall": 0.0, "f1": 0.0}


def test_f1_of_like_answers_is_no_exact_zero(run: Path) -> None:
    seal(run, "copy", classes(4))
    found = json.loads(compare(run, "--stages", "copy", "--json").stdout)
    middle, low, high = found["stages"][1]["differences"]["f1"]
    assert middle == 0 and low < -0.05 and high > 0.05  # of 40 rows


def test_runs_are_pooled_and_the_exact_test_is_left_out(run: Path, tmp_path: Path) -> None:
    seal(tmp_path / "two", "teacher", classes(2))
    seal(tmp_path / "two", "small", classes(2), model={**SMALL, "encoder_share": 0.35})
    found = json.loads(compare("one", "two", "--runs", tmp_path, "--json").stdout)
    small = found["stages"][1]
    assert (small["value"], small["each"]) == (pytest.approx(0.875), [0.8, 0.95])
    assert small["difference"][0] == pytest.approx(-0.05)
    assert small["mcnemar_p"] is None
    assert small["agreement"] == pytest.approx(0.95)
    assert small["model"]["encoder_share"] == pytest.approx(0.3)
    assert "McNemar" not in compare("one", "two", "--runs", tmp_path).stdout


def test_regression_is_compared_by_correlation(tmp_path: Path) -> None:
    truth = np.linspace(0, 5, 60, dtype=np.float32)
    noise = np.random.default_rng(0).normal(size=(2, 60, 1)).astype(np.float32)
    for stage, error in (("teacher", 0.2 * noise[0]), ("small", noise[1])):
        seal(tmp_path / "one", stage, truth[:, None] + error, truth, metric="pearson")
    found = json.loads(compare(tmp_path / "one", "--json").stdout)
    small = found["stages"][1]
    assert found["metric"] == "pearson"
    assert small["value"] == pytest.approx(np.corrcoef(truth, truth + noise[1, :, 0])[0, 1])
    assert small["difference"][2] < 0
    assert 0.5 < small["agreement"] < 1
    shown = compare(tmp_path / "one").stdout
    assert "McNemar" not in shown
    assert "KL" not in shown


def test_what_has_no_predictions_of_these_rows_is_only_in_the_json(run: Path) -> None:
    seal(run, "ir", None)
    seal(run, "check", classes(1), split="select")
    done = compare(run)
    assert (done.exit_code, done.stderr) == (0, "")
    skipped = json.loads(compare(run, "--json").stdout)["skipped"]
    assert {Path(entry["folder"]).name: entry["why"] for entry in skipped} == {
        "ir": "has no predictions",
        "check": "measured on select, not on validation",
    }


def test_an_export_of_one_run_is_not_missed_in_the_others(run: Path, tmp_path: Path) -> None:
    seal(run, "ir", None)
    seal(tmp_path / "two", "teacher", classes(2))
    seal(tmp_path / "two", "small", classes(2))
    done = compare("one", "two", "--runs", tmp_path)
    assert (done.exit_code, done.stderr) == (0, "")


def break_bytes(run: Path) -> None:
    path = run / "small" / "predictions.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def tear(run: Path) -> None:
    (run / "small" / "manifest.json").write_text("{")


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (break_bytes, "predictions.safetensors is damaged; run its recipe again"),
        (lambda run: (run / "small" / "predictions.safetensors").unlink(), "is damaged"),
        (tear, "not sealed; run its recipe to the end"),
    ],
)
def test_a_broken_stage_is_left_out_aloud_and_refused_by_name(
    run: Path, spoil: Any, why: str
) -> None:
    seal(run, "other", classes(5))
    spoil(run)
    done = compare(run)
    assert done.exit_code == 0
    assert f"warning: left out: {run}/small: " in done.stderr
    assert why in done.stderr
    assert "other" in done.stdout
    for choice in (("--stages", "small"), ("--baseline", "small")):
        refused = compare(run, *choice)
        assert refused.exit_code == 2
        assert f"{run}/small: " in refused.stderr
        assert why in refused.stderr


def test_other_rows_are_refused_with_the_stage_that_has_them(run: Path, tmp_path: Path) -> None:
    seal(run, "elsewhere", classes(3), 1 - TRUTH)
    others = compare(run)
    assert others.exit_code == 0
    assert f"left out: {run}/elsewhere: its 40 labels differ" in others.stderr
    assert "small" in others.stdout
    done = compare(run, "--stages", "elsewhere")
    assert done.exit_code == 2
    assert f"{run}/elsewhere: its 40 labels differ from the 40 labels of" in done.stderr
    seal(tmp_path / "two", "teacher", classes(0)[:30], TRUTH[:30])
    seal(tmp_path / "two", "small", classes(0)[:30], TRUTH[:30])
    done = compare(run, tmp_path / "two", "--stages", "small")
    assert done.exit_code == 2
    assert f"{tmp_path}/two/teacher: its 30 labels differ from the 40 labels of" in done.stderr


def test_what_was_made_of_an_older_stage_is_left_out_with_all_that_follows(run: Path) -> None:
    seal(run, "other", classes(5))
    seal(run, "later", classes(6))
    for stage, parents in (("small", {"teacher": "older"}), ("later", {"small": "f"})):
        manifest = run / stage / "manifest.json"
        reseal.edit(manifest, lambda one, of=parents: one.update(inputs={"parents": of}))
    done = compare(run)
    said = " ".join(done.stderr.split())
    assert "small: was made of another 'teacher' than the one in this run; run its recipe" in said
    assert "later: was made of 'small', which was made of another 'teacher'" in said
    assert "other" in done.stdout and "later" not in done.stdout
    refused = compare(run, "--stages", "later")
    assert refused.exit_code == 2 and "made of 'small'" in refused.stderr


def test_runs_of_another_recipe_are_not_pooled_in_silence(run: Path, tmp_path: Path) -> None:
    seal(tmp_path / "two", "teacher", classes(2))
    seal(tmp_path / "two", "small", classes(2))
    assert "unlike" not in compare(run, tmp_path / "two").stderr
    for stage, inputs in (("small", {"stage": {"epochs": 5}}), ("teacher", {"model": "other"})):
        manifest = tmp_path / "two" / stage / "manifest.json"
        reseal.edit(manifest, lambda one, inputs=inputs: one.update(inputs=inputs))
    said = " ".join(compare(run, tmp_path / "two").stderr.split())
    assert "runs of unlike recipes are taken together: " in said
    assert f"two has another teacher, small than {run}" in said


def test_mistakes_say_what_there_is(run: Path, tmp_path: Path) -> None:
    for arguments, message in (
        (["three", "--runs", tmp_path], "there is no run 'three'"),
        ([run, run], "given more than once"),
        ([run, "--stages", "smal"], "one/smal: no such stage; the run has teacher, small"),
        ([run, "--baseline", "best"], "one/best: no such stage"),
        ([run, "--stages", "teacher"], "no other stage to compare with teacher on validation"),
    ):
        done = compare(*arguments)
        assert done.exit_code == 2, done.stdout
        assert message in done.stderr
        assert "Traceback" not in done.stderr
