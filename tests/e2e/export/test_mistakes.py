"""What cannot be exported is refused with the reason, and nothing is half there."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import openvino as ov
import pytest
from openvino import opset13 as opset

from export import convert
from export.names import MODEL
from jpqd.core import lock
from tests.helpers import tiny
from tests.helpers.export_place import assert_nothing_written, jpqd, manifest


def flip(stage: Path) -> None:
    weights = stage / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 255
    weights.write_bytes(content)


def truncate(stage: Path) -> None:
    weights = stage / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])


def tear(stage: Path) -> None:
    (stage / "manifest.json").write_text("{")


@pytest.mark.parametrize(
    ("harm", "expected"),
    [(flip, "content differs"), (truncate, "bytes instead of"), (tear, "is torn, or was changed")],
)
def test_a_damaged_stage_is_refused(
    runs: Path, harm: Callable[[Path], None], expected: str
) -> None:
    stage = runs / "tiny" / "teacher"
    harm(stage)
    done = jpqd("export", stage, "--runs", runs)
    assert done.exit_code == 2
    assert expected in done.stderr
    assert_nothing_written(runs)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["check"], "a stage of `use: evaluate`, which makes no model"),
        (["ir"], "a stage of `use: ov_ir`, which makes no model"),
        (["techer"], "neither a model folder nor a stage"),
        (["techer"], "did you mean 'teacher'?"),
        ([".."], "there is no config.json, so it holds no model"),
        (["--shape", "static"], "--shape is not a shape (got 'static')"),
        (["--shape", "static:0,8"], "--shape must not contain a zero"),
        (["--shape", "bounded:4096"], "the model takes at most 512 tokens"),
        (["--out", Path(__file__).parent, "--force"], "exists and was not exported by jpqd"),
        (["--run", "other"], "there is no run 'other'"),
    ],
)
def test_a_mistake_is_named(runs: Path, arguments: list[Any], expected: str) -> None:
    done = jpqd("export", *arguments, "--runs", runs)
    assert done.exit_code == 2, done.output
    assert expected in done.stderr
    assert_nothing_written(runs)


def test_a_recipe_that_exports_what_is_no_model_is_refused_before_training(
    trained: Path, tmp_path: Path
) -> None:
    more = ("--set", "stages.late={use: ov_ir, needs: [check]}")
    done = jpqd("run", trained / "tiny.yaml", "--runs", tmp_path, *more)
    assert done.exit_code == 2
    assert "'check' is a stage of `use: evaluate`, which makes no model" in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    """A conversion that turns every logit around."""
    right = convert.convert

    def turned(*arguments: Any) -> ov.Model:
        found = right(*arguments)
        (result,) = found.get_results()
        turned = opset.multiply(result.input_value(0), opset.constant(-1.0, dtype="f4"))
        result.input(0).replace_source_output(turned.output(0))
        turned.output(0).get_tensor().set_names({"logits"})
        return found

    monkeypatch.setattr(convert, "convert", turned)


@pytest.mark.usefixtures("wrong")
def test_an_ir_that_is_another_model_is_not_written(runs: Path) -> None:
    done = jpqd("export", "teacher", "--runs", runs)
    assert done.exit_code == 1
    assert "differs from its model: 0 of 64 rows get the same prediction" in done.stderr
    assert (
        len(re.findall(r"row \d+ of validation \('.+'\): PyTorch \[.*\], IR \[", done.stderr)) == 3
    )
    assert_nothing_written(runs)


@pytest.mark.usefixtures("wrong")
def test_without_the_check_it_is_and_says_so(runs: Path) -> None:
    done = jpqd("export", "teacher", "--runs", runs, "--no-check")
    assert done.exit_code == 0
    assert "was not compared" in done.stderr
    assert manifest(runs / "tiny" / "teacher_ir")["metrics"]["check"] is None
    card = (runs / "tiny" / "teacher_ir" / "README.md").read_text()
    assert "It was **not** compared with the PyTorch model." in card


def test_a_place_where_nothing_can_be_written(trained: Path) -> None:
    done = jpqd("export", "--runs", trained / "runs", "--out", "/proc/nowhere/ir")
    assert done.exit_code == 1
    assert "cannot write /proc/nowhere" in done.stderr


def test_a_full_disk_leaves_nothing_behind(runs: Path) -> None:
    export = " ".join(tiny.command("export", "teacher", "--runs", runs))
    done = subprocess.run(
        ["bash", "-c", f"ulimit -f 40 && exec {export}"],
        env=tiny.environment(), capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    assert "no room to write" in done.stderr
    assert "Traceback" not in done.stderr
    assert_nothing_written(runs)


def test_two_at_once_do_not_mix(runs: Path) -> None:
    with lock.sealing(runs / "tiny" / "teacher_ir"):
        done = jpqd("export", "teacher", "--runs", runs)
    assert done.exit_code == 2
    assert "teacher_ir is in use by process" in done.stderr
    leftover = runs / "tiny" / "teacher_ir.partial" / "of_a_kill"
    leftover.mkdir(parents=True)
    assert jpqd("export", "teacher", "--runs", runs, "--no-check").exit_code == 0
    assert not (runs / "tiny" / "teacher_ir" / "of_a_kill").exists()


def test_predict_refuses_what_is_no_export(trained: Path, exported: Path, tmp_path: Path) -> None:
    other = jpqd("predict", trained / "runs" / "tiny" / "teacher", "a")
    assert other.exit_code == 2
    assert f"there is no {MODEL}" in other.stderr
    shutil.copytree(exported, tmp_path / "torn")
    weights = tmp_path / "torn" / "openvino_model.bin"
    weights.write_bytes(weights.read_bytes()[:100])
    torn = jpqd("predict", tmp_path / "torn", "a")
    assert torn.exit_code == 2
    assert "is damaged: openvino_model.bin: 100 bytes instead of" in torn.stderr
