"""Which stages are compared, and what is said of those that are not: sealed folders by hand."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file
from typer.testing import CliRunner, Result

from cli import app
from jpqd.core import artifact

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
    recipe.write_text(json.dumps({"stages": {**stages, stage: {}}}))


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
    says, model = (line for line in found.stdout.splitlines() if line.startswith("small "))
    assert max(len(says), len(model)) < 80
    assert says.split()[:4] == ["small", "80.00", "-10.00", "[-20.00,"]
    assert says.split()[5:7] == ["0.125", "90.00"]
    assert float(says.split()[7]) > 0
    assert model.split() == ["small", "25.0", "20.0", "1,234,567", "INT8"]


def test_the_newest_run_is_compared_when_none_is_named(run: Path) -> None:
    found = compare("--runs", run.parent)
    assert found.exit_code == 0, found.stderr
    assert "one: validation, n = 40" in found.stdout


def test_a_table_for_github(run: Path) -> None:
    lines = compare(run, "--markdown").stdout.splitlines()
    assert lines[2].startswith(
        "| stage | accuracy % | points [95%] | McNemar p | agreement % | KL |"
    )
    assert lines[3].startswith("| --- | ---: |")
    assert lines[4] == "| teacher | 90.00 | - | - | - | - | - | - | - | - |"
    assert {line.count("|") for line in lines[2:]} == {11}


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
    done = compare(run)
    assert done.exit_code == 2
    assert f"{run}/elsewhere: its 40 labels differ from the 40 labels of" in done.stderr
    seal(tmp_path / "two", "teacher", classes(0)[:30], TRUTH[:30])
    seal(tmp_path / "two", "small", classes(0)[:30], TRUTH[:30])
    done = compare(run, tmp_path / "two", "--stages", "small")
    assert done.exit_code == 2
    assert f"{tmp_path}/two/teacher: its 30 labels differ from the 40 labels of" in done.stderr


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
