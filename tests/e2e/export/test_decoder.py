"""Decoders: trained, exported with their cache, compressed, opened elsewhere, told apart."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import openvino as ov
import pytest
import torch
from optimum.intel import OVModelForCausalLM
from tokenizers import pre_tokenizers
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer
from typer.testing import CliRunner

from cli import app
from export import origin
from export.decoder import ask, ir, room, weights
from export.stages.compress_weights import CompressWeights
from jpqd.core import artifact
from jpqd.core.errors import SourceError
from jpqd.core.progress import Progress
from jpqd.data import corpus
from jpqd.recipe import recipes
from jpqd.recipe.task import build
from jpqd.run import runner
from tests.helpers import small
from tests.helpers.decoder_run import BASE, HEAD, figures, logits, run


def test_an_ir_says_and_writes_what_its_model_does(folder: Path) -> None:
    made = folder / "runs" / "lm"
    model = AutoModelForCausalLM.from_pretrained(made / "base", dtype=torch.float32)
    ids = [5, 9, 200, 31, 77]
    with torch.no_grad():
        expected = model(torch.tensor([ids])).logits[0]
    torch.testing.assert_close(logits(made / "f32", ids), expected, atol=1e-4, rtol=0)
    torch.testing.assert_close(
        ask.openvino(made / "f32", ask.ACCURATE)(ids), expected, atol=1e-4, rtol=0
    )
    opened = OVModelForCausalLM.from_pretrained(made / "f32", ov_config=dict(ask.ACCURATE))
    tokenizer = AutoTokenizer.from_pretrained(made / "f32")
    given = tokenizer("The plot was", return_tensors="pt")
    how = {"max_new_tokens": 12, "do_sample": False, "pad_token_id": 0}
    assert opened.generate(**given, **how).tolist() == model.generate(**given, **how).tolist()
    for stage in ("f32", "int8"):
        assert 'models_path: "./"' in (made / stage / "graph.pbtxt").read_text()
    tokens = ov.Core().compile_model(made / "f32" / "openvino_tokenizer.xml", "CPU")
    back = ov.Core().compile_model(made / "f32" / "openvino_detokenizer.xml", "CPU")
    text = "a dull film , a great cast"
    numbers = tokens([text])["input_ids"]
    assert numbers.tolist() == [tokenizer(text)["input_ids"]]
    assert next(iter(back(numbers).values()))[0] == text


def test_training_and_ir_have_the_same_perplexity(folder: Path) -> None:
    made = folder / "runs" / "lm"
    trained, exported = (figures(made, stage) for stage in ("base", "f32"))
    assert exported["perplexity"] == pytest.approx(trained["perplexity"], rel=1e-5)
    assert exported["n"] == trained["n"] > 1000
    low, high = exported["perplexity_95"]
    assert low < exported["perplexity"] < high < 60  # of 400 words
    check = artifact.open_sealed(made / "f32").manifest.metrics["check"]["openvino_model.xml"]
    assert (check["rows"], check["same"]) == (8, 1.0)


CUT = """\
  cut: {use: train, needs: [base], epochs: 0, methods: [{use: prune, keep: 0.4, samples: 64}]}
  learnt:
    use: train
    needs: [cut]
    epochs: 3
    batch_size: 8
    learning_rate: 5.0e-3
    methods: [{use: distill, teacher: base, weight: 1.0, hidden: 0.1}]
  kept:
    use: train
    needs: [cut]
    epochs: 2
    batch_size: 8
    learning_rate: 5.0e-3
    methods: [{use: distill, teacher: base, weight: 1.0, top: 16}]
  small: {use: ov_ir, needs: [learnt]}
"""


def test_a_decoder_is_cut_and_learns_from_what_it_was(folder: Path) -> None:
    made = run(folder, CUT)
    base, cut, learnt, kept, small = (
        figures(made, stage)["log_likelihood"]
        for stage in ("base", "cut", "learnt", "kept", "small")
    )
    assert cut < base and cut < min(learnt, kept)
    assert small == pytest.approx(learnt, abs=1e-3)
    facts = artifact.open_sealed(made / "small").manifest.metrics["model"]
    assert facts["encoder_share"] < 0.42
    refused = folder / "refused.yaml"
    wrong = CUT.replace("hidden: 0.1", "augment: 0.1, variants: 2")
    refused.write_text("name: lm\n" + HEAD + BASE + wrong.replace("learnt", "other"))
    done = CliRunner().invoke(app, ["run", str(refused), "--runs", str(folder / "runs")])
    assert done.exit_code == 2 and "do not fit into memory" in done.stderr


def test_a_models_folder_is_exported_without_a_copy(folder: Path, tmp_path: Path) -> None:
    model = tmp_path / "model"
    shutil.copytree(folder / "runs" / "lm" / "base", model)
    (model / "manifest.json").unlink()
    head = HEAD.replace(HEAD[: HEAD.index("task:")], f"model: {model}\n")
    made = run(
        tmp_path, "  f32: {use: ov_ir}\n  int8: {use: compress_weights, needs: [f32]}\n", head
    )
    before = figures(folder / "runs" / "lm", "int8")
    assert figures(made, "int8")["perplexity"] == pytest.approx(before["perplexity"], rel=1e-4)
    for command in (["compare", str(made)], ["report", str(made)]):
        assert CliRunner().invoke(app, command).exit_code == 0
    alone = CliRunner().invoke(app, ["export", "--ir", str(model), "--out", str(tmp_path / "ir")])
    assert alone.exit_code == 0, alone.stderr
    assert "the same best token for 100.00%" in alone.stderr


def test_weights_in_many_files_and_a_tokenizer_that_openvino_does_not_know(
    folder: Path, tmp_path: Path
) -> None:
    base, model = folder / "runs" / "lm" / "base", tmp_path / "model"
    network = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    network.save_pretrained(model, max_shard_size="40KB")
    assert len(list(model.glob("model-*.safetensors"))) > 1
    known = AutoTokenizer.from_pretrained(base)
    known.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.UnicodeScripts(), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    known.save_pretrained(model)
    out = tmp_path / "ir"
    done = CliRunner().invoke(app, ["export", "--ir", str(model), "--out", str(out)])
    assert done.exit_code == 0, done.stderr
    assert "its tokenizer cannot be converted to OpenVINO" in done.stderr
    assert "the same best token for 100.00%" in done.stderr
    assert not (out / "openvino_tokenizer.xml").exists()
    done = CliRunner().invoke(app, ["predict", str(out), "The plot", "--new-tokens", "3"])
    assert done.exit_code == 0, done.stderr


@pytest.mark.parametrize(
    ("model", "use", "told"),
    [
        ("{new: bert}", "causal_lm", "a bert reads a text in both directions"),
        ("BASE", "classification", "this is a language model, and the task is another"),
        ("{new: qwen3}", "causal_lm", "has random weights. Train it first"),
    ],
)
def test_a_model_for_another_task_is_refused(
    folder: Path, tmp_path: Path, model: str, use: str, told: str
) -> None:
    path = tmp_path / "other.yaml"
    base = folder / "runs" / "lm" / "base"
    stage = "{use: train, epochs: 0}" if "bert" in model else "{use: ov_ir}"
    path.write_text(
        f"model: {model.replace('BASE', str(base))}\n"
        f'task: {{name: reviews, use: {use}, dataset: "builtin:reviews", max_length: 32}}\n'
        f"stages: {{one: {stage}}}\n"
    )
    done = CliRunner().invoke(app, ["run", str(path), "--runs", str(tmp_path / "runs")])
    assert (done.exit_code, told in done.stderr) == (2, True), done.stderr


def test_an_ir_of_another_model_is_not_written(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = ask.openvino

    def wrong(*given: Any) -> ask.Ask:
        right = answers(*given)
        return lambda ids: right(list(ids)[::-1])

    monkeypatch.setattr(ir.ask, "openvino", wrong)
    base = folder / "runs" / "lm" / "base"
    done = CliRunner().invoke(app, ["export", "--ir", str(base), "--out", str(tmp_path / "ir")])
    assert done.exit_code == 1
    assert "openvino_model.xml differs from its model: perplexity" in done.stderr
    assert not (tmp_path / "ir").exists()


def test_a_model_that_does_not_fit_and_keys_of_encoders(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = str(folder / "runs" / "lm" / "base")
    done = CliRunner().invoke(app, ["export", "--ir", base, "--out", str(tmp_path / "ir"),
                                    "--shape", "static:1,16"])  # fmt: skip
    assert done.exit_code == 2
    assert "shape: for models that classify" in done.stderr
    monkeypatch.setattr(room, "_memory", lambda: 100_000)
    done = CliRunner().invoke(app, ["export", "--ir", base, "--out", str(tmp_path / "ir")])
    assert done.exit_code == 2
    assert "GB of memory, and this machine has" in done.stderr


def test_the_report_and_the_list_show_perplexity(folder: Path) -> None:
    (folder / "rows.csv").write_text("text,label\na film,1\n")
    refused = CliRunner().invoke(app, ["evaluate", str(folder / "runs" / "lm" / "base"),
                                       "--data", str(folder / "rows.csv")])  # fmt: skip
    assert refused.exit_code == 2
    assert "a language model has no answers to rows" in refused.stderr
    runs = str(folder / "runs")
    listed = CliRunner().invoke(app, ["ls", "lm", "--runs", runs])
    assert "perplexity" in listed.stdout
    report = CliRunner().invoke(app, ["report", str(folder / "runs" / "lm")])
    assert report.exit_code == 0, report.stderr
    written = (folder / "runs" / "lm" / "report.md").read_text()
    assert "int8 has a perplexity of" in written
    assert "times that of f32, and a KL of" in written


def test_when_a_text_is_over_is_known_after_a_cut(folder: Path, tmp_path: Path) -> None:
    """Chat models end their turns with tokens that only their generation_config.json names."""
    source = shutil.copytree(folder / "runs" / "lm" / "base", tmp_path / "source")
    (source / "manifest.json").unlink()
    ends = {"eos_token_id": [2, 7], "temperature": 0.7}  # transformers would not save the second
    (source / "generation_config.json").write_text(json.dumps(ends))
    head = f"model: {source}\n" + HEAD[HEAD.index("task:") :]
    made = run(
        tmp_path,
        "  cut: {use: train, epochs: 0, methods: [{use: prune, keep: 0.6, samples: 8}]}\n"
        "  again: {use: train, needs: [cut], epochs: 0}\n"
        "  ir: {use: ov_ir, needs: [again]}\n",
        head,
    )
    for stage in ("cut", "again", "ir"):
        found = json.loads((made / stage / "generation_config.json").read_text())
        assert found["eos_token_id"] == [2, 7], stage


@pytest.mark.parametrize("stage", ["{use: ov_ir}", "{use: train, epochs: 1}"])
def test_windows_longer_than_the_model_are_refused(
    folder: Path, tmp_path: Path, stage: str
) -> None:
    source = tmp_path / "model"
    words = AutoTokenizer.from_pretrained(folder / "runs" / "lm" / "base")
    words.model_max_length = int(1e30)  # as many a tokenizer says
    words.save_pretrained(source)
    sizes = {"n_embd": 32, "n_layer": 1, "n_head": 2, "n_positions": 16}
    config = AutoConfig.for_model("gpt2", vocab_size=len(words), **sizes)
    AutoModelForCausalLM.from_config(config).save_pretrained(source)
    head = f"model: {source}\n" + HEAD[HEAD.index("task:") :]
    with pytest.raises(SourceError, match="max_length is 32, and the model takes 16 tokens"):
        run(tmp_path, f"  first: {stage}\n", head)


def test_windows_of_a_file_begin_as_those_of_train_do(folder: Path, tmp_path: Path) -> None:
    text = tmp_path / "some.txt"
    text.write_text("\n".join(words for words, _ in corpus.reviews("train")[:40]))
    made = folder / "runs" / "lm"
    stage = CompressWeights(use="compress_weights", needs=("f32",), format="int4",
                            calibration=(str(text),))  # fmt: skip
    tokenizer = AutoTokenizer.from_pretrained(made / "f32")
    tokenizer.bos_token = tokenizer.eos_token
    ctx = small.training(tmp_path).ctx
    ctx = replace(ctx, task=build({"name": "r", "use": "causal_lm", "dataset": "builtin:reviews",
                                   "max_length": 16}))  # fmt: skip
    found = weights._Work(stage, ctx, made / "f32", tokenizer)._of_files()
    assert len(found) > 3
    assert {window[0] for window in found} == {tokenizer.bos_token_id}
    assert all(len(window) <= 16 for window in found)


def test_a_stage_of_a_run_without_training_is_found_by_its_name(folder: Path) -> None:
    source = folder / "runs" / "lm" / "base"
    head = f"model: {source}\n" + HEAD[HEAD.index("task:") :]
    path = folder / "only.yaml"
    path.write_text(head + "  f32: {use: ov_ir}\n")
    runner.execute(recipes.load(path), folder / "runs", Progress(quiet=True))
    assert origin.find(folder / "runs", "f32", "only").folder.name == "f32"
