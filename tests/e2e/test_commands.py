"""The commands as a user meets them: what they print, what they write, how they end."""

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from typer.testing import CliRunner, Result

from cli import app
from tests.helpers import tiny

SHORT = ("--set", "stages.teacher.epochs=1", "--set", "checkpoint_minutes=60")


def jpqd(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def sealed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A recipe and the runs folder in which it was run to its end."""
    folder = tmp_path_factory.mktemp("sealed")
    recipe = tiny.write_recipe(folder, rows=160)
    done = jpqd("run", recipe, "--runs", folder / "runs", *SHORT)
    assert done.exit_code == 0, done.stderr
    return recipe, folder / "runs"


@pytest.fixture
def run(sealed: tuple[Path, Path], tmp_path: Path) -> tuple[Path, Path]:
    """A copy that a test may spoil."""
    shutil.copytree(sealed[1], tmp_path / "runs")
    return sealed[0], tmp_path / "runs"


def test_a_run_leaves_a_model_that_transformers_loads_and_names_its_classes(
    sealed: tuple[Path, Path],
) -> None:
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    from jpqd.model import loading

    folder = sealed[1] / "tiny" / "teacher"
    loaded = AutoModelForSequenceClassification.from_pretrained(folder)
    assert loaded.config.id2label == {0: "0", 1: "1"}
    text = AutoTokenizer.from_pretrained(folder)("the plot was good", return_tensors="pt")
    assert loaded.eval()(**text).logits.equal(loading.load(folder)(**text).logits)


def test_a_sealed_run_is_not_run_again(run: tuple[Path, Path]) -> None:
    recipe, runs = run
    before = (runs / "tiny" / "teacher" / "manifest.json").stat().st_mtime_ns
    again = jpqd("run", recipe, "--runs", runs, *SHORT)
    assert again.exit_code == 0
    assert again.stderr.count("sealed already") == 2
    assert (runs / "tiny" / "teacher" / "manifest.json").stat().st_mtime_ns == before


def test_a_changed_recipe_says_what_changed_and_runs_only_what_depends_on_it(
    run: tuple[Path, Path],
) -> None:
    recipe, runs = run
    changed = (*SHORT, "--set", "stages.check.batch_size=8")
    plan = jpqd("plan", recipe, "--runs", runs, *changed, "--json")
    states = {step["stage"]: step for step in json.loads(plan.stdout)}
    assert states["teacher"]["state"] == "sealed"
    assert states["check"]["state"] == "changed"
    assert states["check"]["why"] == ["stage.batch_size: 64 -> 8"]
    again = jpqd("run", recipe, "--runs", runs, *changed)
    assert "[1/2] teacher: sealed already" in again.stderr
    assert "evaluate again, because its inputs changed (stage.batch_size: 64 -> 8)" in again.stderr


def test_other_data_under_the_same_path_is_noticed(run: tuple[Path, Path], tmp_path: Path) -> None:
    recipe, runs = run
    data = tmp_path / "data"
    shutil.copytree(recipe.parent / "data", data)
    same = (*SHORT, "--set", f"task.dataset={data}")
    moved = json.loads(jpqd("plan", recipe, "--runs", runs, *same, "--json").stdout)
    assert [step["state"] for step in moved] == ["sealed", "sealed"], "a path alone is no change"
    with (data / "validation.csv").open("a") as file:
        file.write("one more row,1\n")
    other = json.loads(jpqd("plan", recipe, "--runs", runs, *same, "--json").stdout)
    assert [step["state"] for step in other] == ["changed", "changed"]
    assert other[0]["why"][0].startswith("task.dataset.validation.csv: ")


def test_plan_and_validate_touch_nothing(sealed: tuple[Path, Path], tmp_path: Path) -> None:
    recipe = sealed[0]
    plan = jpqd("plan", recipe, "--runs", tmp_path / "none")
    assert plan.exit_code == 0
    assert "teacher" in plan.stdout
    assert jpqd("validate", recipe).stdout == "1 valid\n"
    assert not (tmp_path / "none").exists()


def test_ls_shows_the_runs_and_json_is_all_there_is_on_stdout(sealed: tuple[Path, Path]) -> None:
    recipe, runs = sealed
    assert "accuracy 0." in jpqd("ls", "--runs", runs).stdout
    listed = json.loads(jpqd("ls", "tiny", "--runs", runs, "--json").stdout)
    assert [stage["stage"] for stage in listed[0]["stages"]] == ["teacher", "check"]
    assert listed[0]["stages"][0]["metrics"]["validation"]["n"] == 64
    ran = jpqd("run", recipe, "--runs", runs, *SHORT, "--json")
    assert [step["stage"] for step in json.loads(ran.stdout)] == ["teacher", "check"]


def test_the_manifest_says_which_rows_were_used(sealed: tuple[Path, Path]) -> None:
    metrics = tiny.manifest(sealed[1])["metrics"]
    assert metrics["data"]["cut_from_train"] == ["select"]
    assert metrics["data"]["rows"]["train"] == {"used": 152, "unusable": 0}
    assert tiny.manifest(sealed[1])["environment"]["threads"] == torch.get_num_threads()
    low, high = metrics["validation"]["accuracy_95"]
    assert low <= metrics["validation"]["accuracy"] <= high


def test_verify_names_the_file_in_which_one_bit_is_wrong(run: tuple[Path, Path]) -> None:
    _, runs = run
    assert jpqd("verify", "--runs", runs).exit_code == 0
    weights = runs / "tiny" / "teacher" / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-10] ^= 1
    weights.write_bytes(content)
    (runs / "tiny" / "check" / "stray.txt").write_text("?")
    found = jpqd("verify", "tiny", "--runs", runs)
    assert found.exit_code == 1
    assert "teacher/model.safetensors: content differs from its SHA-256" in found.stderr
    assert "check/stray.txt: not in the manifest" in found.stderr


def test_verify_and_ls_notice_a_stage_whose_manifest_is_torn(run: tuple[Path, Path]) -> None:
    _, runs = run
    (runs / "tiny" / "check" / "manifest.json").write_text("{")
    found = jpqd("verify", "--runs", runs)
    assert found.exit_code == 1
    assert "check: manifest.json is torn, or was changed" in found.stderr
    assert "not sealed" in jpqd("ls", "--runs", runs).stdout
    listed = json.loads(jpqd("ls", "--runs", runs, "--json").stdout)
    assert listed[0]["not_sealed"] == ["check"]


def test_a_sealed_stage_that_lost_a_file_is_run_again(run: tuple[Path, Path]) -> None:
    recipe, runs = run
    (runs / "tiny" / "check" / "predictions.safetensors").unlink()
    again = jpqd("run", recipe, "--runs", runs, *SHORT)
    assert again.exit_code == 0
    assert "because the folder is damaged (predictions.safetensors: missing)" in again.stderr
    assert jpqd("verify", "--runs", runs).exit_code == 0


def test_what_is_sealed_needs_no_hub(sealed: tuple[Path, Path], tmp_path: Path) -> None:
    """The plan of a hub model is known from its id, so a finished run stays finished offline."""
    from jpqd.core import artifact
    from jpqd.recipe import recipes
    from jpqd.run import plan

    loaded = recipes.load(Path("recipes/bert_sst2.yaml"))
    for step in plan.plan(loaded, tmp_path / "bert_sst2")[:-1]:
        step.folder.mkdir(parents=True)
        facts = {"stage": step.id, "use": step.stage.use, "fingerprint": step.fingerprint}
        rest = {"inputs": step.inputs, "metrics": {}, "seconds": 1, "created": ""}
        artifact.close(step.folder, {**facts, **rest, "environment": {}})
    last = "jpqd_05_ir"  # the stage after it, bench, shows its table
    done = jpqd("run", "recipes/bert_sst2.yaml", "--runs", tmp_path, "--offline", "--until", last)
    assert done.exit_code == 0, done.stderr
    assert done.stderr.count("sealed already") == len(loaded.stages) - 1


def test_pickled_weights_are_refused_with_the_conversion_to_run(
    sealed: tuple[Path, Path], tmp_path: Path
) -> None:
    recipe, runs = sealed
    folder = tmp_path / "old"
    shutil.copytree(runs / "tiny" / "teacher", folder)
    (folder / "manifest.json").unlink()
    pickled = safetensors.torch.load_file(folder / "model.safetensors")
    torch.save(pickled, folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    again = ("run", recipe, "--runs", tmp_path / "runs", *SHORT, "--set", f"model={folder}")
    refused = jpqd(*again)
    assert refused.exit_code == 2
    assert "only safetensors are read" in refused.stderr
    command = refused.stderr[refused.stderr.index("python -c") :]
    bin_folder = Path(tiny.PYTHON).parent
    subprocess.run(f'PATH="{bin_folder}:$PATH" {command}', shell=True, check=True)
    assert jpqd(*again).exit_code == 0


def test_a_local_model_folder_is_the_start_and_its_head_is_new_for_new_labels(
    sealed: tuple[Path, Path], tmp_path: Path
) -> None:
    recipe, runs = sealed
    data = tmp_path / "six.csv"
    rows = [f"text number {i} of class {i % 6},c{i % 6}" for i in range(120)]
    data.write_text("\n".join(["text,label", *rows]))
    done = jpqd(
        "run", recipe, "--runs", tmp_path / "runs", *SHORT, "--set", f"task.dataset={data}",
        "--set", f"model={runs / 'tiny' / 'teacher'}",
    )  # fmt: skip
    assert done.exit_code == 0, done.stderr
    assert "starts at random: classifier.bias, classifier.weight" in done.stderr
    assert "validation 12 rows (cut from train)" in done.stderr
    config = json.loads((tmp_path / "runs" / "tiny" / "teacher" / "config.json").read_text())
    assert config["id2label"] == {str(i): f"c{i}" for i in range(6)}


def test_two_texts_and_a_float_label_train_a_regression(
    sealed: tuple[Path, Path], tmp_path: Path
) -> None:
    data = tmp_path / "pairs"
    data.mkdir()
    for split, count in (("train", 120), ("dev", 30)):
        rows = [f"alpha {i % 7}\tbeta {i % 5}\t{(i % 7 + i % 5) / 2}" for i in range(count)]
        (data / f"{split}.tsv").write_text("\n".join(["one\ttwo\tscore", *rows]))
    done = jpqd(
        "run", sealed[0], "--runs", tmp_path / "runs", *SHORT, "--set", f"task.dataset={data}",
        "--set", "task.text=[one, two]", "--set", "task.label=score",
    )  # fmt: skip
    assert done.exit_code == 0, done.stderr
    metrics = tiny.manifest(tmp_path / "runs")["metrics"]["validation"]
    assert metrics.keys() == {"n", "pearson", "spearman", "mse"}
    assert "pearson" in done.stdout


def test_a_tracker_gets_the_curves(sealed: tuple[Path, Path], tmp_path: Path) -> None:
    more = (*SHORT, "--set", "report_to=tensorboard")
    done = jpqd("run", sealed[0], "--runs", tmp_path, *more)
    assert done.exit_code == 0, done.stderr
    assert list((tmp_path / "tiny" / ".tracking" / "teacher").rglob("events.out.tfevents.*"))


def test_a_tracker_that_is_not_installed_is_named_before_any_work(
    sealed: tuple[Path, Path], tmp_path: Path
) -> None:
    done = jpqd("run", sealed[0], "--runs", tmp_path / "runs", "--set", "report_to=wandb")
    assert done.exit_code == 2
    assert "wandb is not installed. Try: pip install wandb" in done.stderr
    assert not (tmp_path / "runs").exists()


def test_a_loss_that_is_not_a_number_ends_the_run_with_advice(
    sealed: tuple[Path, Path], tmp_path: Path
) -> None:
    wild = ("--set", "stages.teacher.learning_rate=1e8", "--set", "stages.teacher.warmup=0")
    done = jpqd("run", sealed[0], "--runs", tmp_path, *SHORT, *wild)
    assert done.exit_code == 1
    assert "Try a lower learning_rate" in done.stderr


def test_runs_that_are_not_there_are_a_users_mistake(tmp_path: Path) -> None:
    for command in ("verify", "ls"):
        done = jpqd(command, "nothing", "--runs", tmp_path)
        assert done.exit_code == 2
        assert f"there are no runs in {tmp_path}" in done.stderr


def test_micro_batches_train_the_same_model(sealed: tuple[Path, Path], tmp_path: Path) -> None:
    exact = (*SHORT, "--set", "stages.teacher.dropout=0.0", "--set", "stages.teacher.precision=f32")
    logits = []
    for name, more in (("whole", ()), ("micro", ("--set", "stages.teacher.micro_batch=4"))):
        done = jpqd("run", sealed[0], "--runs", tmp_path / name, *exact, *more)
        assert done.exit_code == 0, done.stderr
        path = tmp_path / name / "tiny" / "teacher" / "predictions.safetensors"
        logits.append(safetensors.torch.load_file(path)["logits"])
    np.testing.assert_allclose(logits[0], logits[1], atol=2e-4)


def test_a_run_until_a_stage_ends_there_and_goes_on_later(
    sealed: tuple[Path, Path], tmp_path: Path
) -> None:
    recipe, runs = sealed[0], tmp_path / "runs"
    wrong = jpqd("run", recipe, "--runs", runs, *SHORT, "--until", "techer")
    assert wrong.exit_code == 2
    assert "--until techer: no stage has this name; did you mean 'teacher'?" in wrong.stderr
    assert not runs.exists()
    first = jpqd("run", recipe, "--runs", runs, *SHORT, "--until", "teacher", "--json")
    assert first.exit_code == 0, first.stderr
    assert [step["state"] for step in json.loads(first.stdout)] == ["sealed", "new"]
    assert "[1/1] teacher: train" in first.stderr
    rest = jpqd("run", recipe, "--runs", runs, *SHORT)
    assert "[1/2] teacher: sealed already" in rest.stderr
    assert (runs / "tiny" / "check" / "manifest.json").exists()
