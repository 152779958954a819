"""What `jpqd ls` and the end of `jpqd run` show of a run's stages."""

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cli import app
from tests.helpers import made_run, reseal


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return made_run.make(tmp_path / "runs" / "made")


def listed(run: Path) -> dict[str, list[str]]:
    shown = CliRunner().invoke(app, ["ls", run.name, "--runs", str(run.parent)])
    assert shown.exit_code == 0, shown.stderr
    return {line.split()[0]: line.split() for line in shown.stdout.splitlines() if line.split()}


def add_file(run: Path, stage: str, name: str, size: int) -> None:
    entry = {"sha256": "0", "bytes": size}
    reseal.edit(run / stage / "manifest.json", lambda kept: kept["files"].update({name: entry}))


def test_the_size_is_of_what_runs(run: Path) -> None:
    add_file(run, "jpqd_ir", "openvino_fused.bin", 1_250_000)
    add_file(run, "jpqd_ir", "tokenizer.json", 700_000)
    rows = listed(run)
    assert rows["jpqd_ir"][-4:] == ["1.2", "MB", "1", "s"]
    assert rows["teacher"][-4:-2] == ["4.0", "MB"]


def test_an_ir_that_only_takes_texts_has_its_size(run: Path) -> None:
    def rename(kept: dict[str, Any]) -> None:
        kept["files"]["models/x/1/openvino_fused.bin"] = kept["files"].pop("openvino_model.bin")

    reseal.edit(run / "jpqd_ir" / "manifest.json", rename)
    assert listed(run)["jpqd_ir"][-4:-2] == ["1.2", "MB"]


def test_a_quantized_stage_that_is_no_smaller_says_why(run: Path) -> None:
    facts = {"parameters": 1_000_000, "encoder_share": 1.0, "precision": "INT8"}
    made_run.trained(run, "ptq", wrong=40, facts=facts, needs=("teacher",))
    shown = CliRunner().invoke(app, ["ls", "--runs", str(run.parent)]).stdout
    assert "ptq: INT8 weights are stored in f32 with their scales until" in " ".join(shown.split())


def test_no_word_where_a_quantized_stage_was_pruned(run: Path) -> None:
    shown = CliRunner().invoke(app, ["ls", "--runs", str(run.parent)]).stdout
    assert "stored in f32" not in shown


def test_a_benchmark_is_listed(run: Path) -> None:
    assert listed(run)["bench"][:2] == ["bench", "bench"]
