"""Weights in four bits that adapters have trained: nearer to the whole model, and as small."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from cli import app
from jpqd.core import artifact
from jpqd.core.errors import SourceError
from jpqd.core.progress import Progress
from jpqd.model import loading, rounded
from jpqd.recipe import recipes
from jpqd.run import runner
from jpqd.training.loop import Loop

HEAD = """\
model: {new: qwen3, hidden_size: 64, num_hidden_layers: 2, num_attention_heads: 4,
        intermediate_size: 128, vocab_size: 400}
task: {name: r, use: causal_lm, dataset: "builtin:reviews", max_length: 32, train_rows: 400,
       report_on: part, holdout: 0.02, select_on: 0.02}
checkpoint_minutes: 1.0e-9
stages:
  whole: {use: train, epochs: 2, batch_size: 8, learning_rate: 1.0e-2}
"""
LEARNT = """\
  learnt:
    use: train
    needs: [whole]
    epochs: 2
    batch_size: 8
    learning_rate: 1.0e-2
    methods: [{use: qlora, rank: 4}, {use: distill, teacher: whole, weight: 1.0}]
"""
IRS = """\
  whole_ir: {use: ov_ir, needs: [whole]}
  rounded: {use: compress_weights, needs: [whole_ir], format: int4, method: rtn}
  learnt_ir: {use: ov_ir, needs: [learnt], beside: whole_ir}
  sym: {use: train, needs: [whole], epochs: 0, methods: [{use: qlora, rank: 4, sym: true}]}
  sym_ir: {use: ov_ir, needs: [sym], beside: whole_ir}
"""


def run(folder: Path, text: str) -> Path:
    path = folder / "q.yaml"
    path.write_text(text)
    runner.execute(recipes.load(path), folder / "runs", Progress(quiet=True))
    return folder / "runs" / "q"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run(tmp_path_factory.mktemp("q"), HEAD + LEARNT + IRS)


def manifest(made: Path, stage: str) -> Any:
    return artifact.open_sealed(made / stage).manifest


def test_training_brings_four_bits_nearer_to_the_whole_model(made: Path) -> None:
    kl = {name: manifest(made, name).splits["part"]["kl"] for name in ("rounded", "learnt_ir")}
    assert kl["learnt_ir"] < 0.7 * kl["rounded"]


def test_the_ir_is_as_small_as_one_that_was_rounded(made: Path) -> None:
    sizes = [(made / n / "openvino_model.bin").stat().st_size for n in ("rounded", "learnt_ir")]
    assert sizes[0] == sizes[1]
    found = manifest(made, "learnt_ir")
    assert found.model.precision == "INT4"
    assert found.metrics["weights"] == {"format": "int4", "method": "qlora"}
    assert found.metrics["check"]["openvino_model.xml"]["same"] == 1.0
    assert manifest(made, "sym_ir").splits["part"]["kl"] > 0


def test_a_loaded_model_has_few_values_and_says_what_was_reported(made: Path) -> None:
    network = loading.load(made / "learnt")
    grids = list(rounded.on(network))
    assert {grid.bits for _, _, grid in grids} == {4, 8}
    for _, path, grid in grids:
        weight = network.get_parameter(path).detach()
        torch.testing.assert_close(grid.round(weight), weight, atol=0, rtol=1e-6)
    in_torch, in_ir = (manifest(made, n).splits["part"] for n in ("learnt", "learnt_ir"))
    assert in_torch["perplexity"] == pytest.approx(in_ir["perplexity"], rel=1e-3)


def test_only_the_adapters_train(made: Path) -> None:
    facts = manifest(made, "learnt").metrics["train"]
    shapes = [(64, 64)] * 4 + [(64, 128)] * 3
    assert facts["trainable_parameters"] == 2 * sum(4 * (rows + width) for rows, width in shapes)


def test_a_stage_that_was_killed_ends_with_the_same_weights(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = Loop._commit

    def die(self: Loop, written: Path) -> None:
        commit(self, written)
        if self.ctx.stage == "learnt":
            raise KeyboardInterrupt

    monkeypatch.setattr(Loop, "_commit", die)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, HEAD + LEARNT)
    monkeypatch.setattr(Loop, "_commit", commit)
    again = run(tmp_path, HEAD + LEARNT)
    hashes = [manifest(at, "learnt").files["model.safetensors"].sha256 for at in (made, again)]
    assert hashes[0] == hashes[1]


@pytest.mark.parametrize(
    ("methods", "told"),
    [
        ("{use: qlora, group_size: 60}", "such as a smaller power of two"),
        ("{use: qlora, rank: 500}", "rank=500 cannot exceed"),
        ("{use: qlora}, {use: prune, keep: 0.5}", "stage of its own"),
    ],
)
def test_mistakes(made: Path, tmp_path: Path, methods: str, told: str) -> None:
    path = tmp_path / "q.yaml"
    path.write_text(HEAD + f"  w: {{use: train, needs: [whole], methods: [{methods}]}}\n")
    done = CliRunner().invoke(app, ["run", str(path), "--runs", str(made.parent)])
    assert done.exit_code == 2 and told in done.stderr.replace("\n", " ")


@pytest.mark.parametrize(
    "stage",
    [
        "{use: train, needs: [learnt], methods: [{use: lora}]}",
        "{use: train, needs: [learnt]}",
        "{use: train, needs: [learnt], epochs: 0, methods: [{use: prune, keep: 0.5}]}",
    ],
)
def test_weights_in_four_bits_stay_as_they_are(made: Path, tmp_path: Path, stage: str) -> None:
    path = tmp_path / "q.yaml"
    path.write_text(HEAD + LEARNT + f"  w: {stage}\n")
    done = CliRunner().invoke(app, ["run", str(path), "--runs", str(made.parent)])
    assert done.exit_code == 2 and "weights have four bits" in done.stderr.replace("\n", " ")


def test_a_damaged_grid_is_told(made: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(made / "learnt", tmp_path / "copy")
    text = (folder / "structure.json").read_text()
    for wrong in ({"bits": 3}, {"groups": [3, 64]}):
        changed = json.loads(text)
        found = changed["quantization"]["compression_state"][0]["module_config"]
        found.update(wrong)
        (folder / "structure.json").write_text(json.dumps(changed))
        with pytest.raises(SourceError, match="damaged"):
            loading.load(folder)


def test_grids_hold_what_processes_can_send_each_other(made: Path) -> None:
    network = loading.load(made / "learnt")
    assert {grid.zero.dtype for _, _, grid in rounded.on(network)} == {torch.uint8}


def test_a_classifier_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "q.yaml"
    path.write_text(
        "model: {new: bert, hidden_size: 32, num_hidden_layers: 1, num_attention_heads: 2, "
        'intermediate_size: 64, vocab_size: 400}\ntask: {name: r, dataset: "builtin:reviews", '
        "text: [text], label: label, max_length: 32, train_rows: 64, report_on: part, "
        "holdout: 0.02}\nstages:\n  w: {use: train, epochs: 0, methods: [{use: qlora}]}\n"
    )
    done = CliRunner().invoke(app, ["run", str(path), "--runs", str(tmp_path / "runs")])
    assert done.exit_code == 2 and "qlora is for language models" in done.stderr.replace("\n", " ")
