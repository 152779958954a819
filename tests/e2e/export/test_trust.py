"""What is used is what was sealed: no command uses a changed file, and `verify` names each."""

import json
import shutil
from pathlib import Path

import pytest

from tests.helpers import reseal
from tests.helpers.export_place import jpqd


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def verify(runs: Path) -> str:
    found = jpqd("verify", "--runs", runs)
    assert found.exit_code == 1, found.output
    return found.stderr


TEXT = "The film is good."


@pytest.mark.parametrize(
    ("file", "command"),
    [
        ("ir/openvino_model.bin", ("predict", "IR", TEXT)),
        ("ir/tokenizer.json", ("predict", "IR", TEXT)),
        ("ir/config.json", ("predict", "IR", TEXT)),
        ("jpqd/predictions.safetensors", ("compare", "tiny", "--stages", "jpqd")),
        ("jpqd/structure.json", ("export", "jpqd")),
        ("teacher/tokenizer.json", ("export", "teacher")),
    ],
)
def test_a_flipped_bit_is_named_by_the_command_that_reads_it(
    runs: Path, file: str, command: tuple[str, ...]
) -> None:
    flip(runs / "tiny" / file)
    where = () if command[0] == "predict" else ("--runs", runs)
    given = [runs / "tiny" / "ir" if part == "IR" else part for part in command]
    done = jpqd(*given, *where)
    assert done.exit_code == 2, done.output
    assert Path(file).name in done.stderr
    assert "content differs" in done.stderr or "is damaged" in done.stderr
    assert f"{file}: content differs from its SHA-256" in verify(runs)


def test_a_run_builds_on_no_changed_stage(trained: Path, runs: Path) -> None:
    recipe = trained / "tiny.yaml"
    first = json.loads((runs / "tiny" / "teacher" / "manifest.json").read_text())["files"]
    flip(runs / "tiny" / "teacher" / "model.safetensors")
    planned = json.loads(jpqd("plan", recipe, "--runs", runs, "--json").stdout)
    steps = planned["stages"] if isinstance(planned, dict) else planned
    assert {step["stage"]: step["state"] for step in steps}["teacher"] == "damaged"
    done = jpqd("run", recipe, "--runs", runs)
    assert done.exit_code == 0, done.output
    assert "because the folder is damaged (model.safetensors: content differs" in done.stderr
    again = json.loads((runs / "tiny" / "teacher" / "manifest.json").read_text())["files"]
    assert again["model.safetensors"] == first["model.safetensors"]
    assert jpqd("verify", "--runs", runs).exit_code == 0


def test_an_edited_figure_is_no_figure(runs: Path) -> None:
    path = runs / "tiny" / "jpqd" / "manifest.json"
    content = json.loads(path.read_text())
    content["metrics"]["validation"]["accuracy"] = 0.999
    path.write_text(json.dumps(content, indent=2))
    assert "jpqd: manifest.json is torn, or was changed after it was sealed" in verify(runs)
    listed = jpqd("ls", "--runs", runs)
    assert "99.9" not in listed.stdout and "0.999" not in listed.stdout
    assert "jpqd: manifest.json is torn, or was changed" in listed.stderr
    assert "0.999" not in jpqd("compare", "--runs", runs, "--json").stdout


def test_an_edited_recipe_is_named(runs: Path) -> None:
    path = runs / "tiny" / "recipe.json"
    path.write_text(path.read_text().replace('"seed": 3', '"seed": 4'))
    assert "recipe.json: missing, torn, or changed after it was sealed" in verify(runs)


def test_a_stage_under_another_name_is_named(runs: Path) -> None:
    shutil.rmtree(runs / "tiny" / "jpqd")
    shutil.copytree(runs / "tiny" / "teacher", runs / "tiny" / "jpqd")
    assert "jpqd: holds the stage 'teacher' under another name" in verify(runs)
    assert jpqd("export", "jpqd", "--runs", runs).exit_code == 2


def test_a_stage_that_was_made_of_another_one_is_named(runs: Path) -> None:
    reseal.edit(runs / "tiny" / "teacher" / "manifest.json", lambda m: m.update(fingerprint="b"))
    assert "jpqd: was made of another 'teacher' than the one in this run" in verify(runs)


def test_an_edited_report_is_named_and_an_old_one_is_not_covered(runs: Path) -> None:
    assert jpqd("report", "--runs", runs).exit_code == 0
    assert jpqd("verify", "--runs", runs).exit_code == 0
    (runs / "tiny" / "notes.txt").write_text("mine")
    assert "no hash covers: .work, notes.txt" in jpqd("verify", "--runs", runs).stdout
    page = runs / "tiny" / "report.md"
    page.write_text(page.read_text().replace("teacher", "tutor", 1))
    assert "report.md: changed after it was written" in verify(runs)


def test_a_file_that_was_added_is_not_used(runs: Path) -> None:
    (runs / "tiny" / "ir" / "added_tokens.json").write_text("{}")
    done = jpqd("predict", runs / "tiny" / "ir", TEXT)
    assert done.exit_code == 2
    assert "added_tokens.json: not in the manifest" in done.stderr
