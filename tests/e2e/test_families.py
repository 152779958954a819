"""Models of other families than BERT, from a local folder, train and load again."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.numpy import load_file, save_file
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    PreTrainedTokenizerFast,
)
from typer.testing import CliRunner

from cli import app
from jpqd import tasks
from jpqd.model import loading
from jpqd.recipe.task import NewModel, Task
from tests.helpers import tiny

SIZES = {
    "bert": {},
    "roberta": {"pad_token_id": 0, "type_vocab_size": 1},
    "electra": {"embedding_size": 32},
    "mpnet": {"pad_token_id": 0},
    "xlm-roberta": {"pad_token_id": 0, "type_vocab_size": 1},
    "camembert": {"pad_token_id": 0, "type_vocab_size": 1},  # is not described, so never pruned
    "distilbert": {"dim": 32, "hidden_dim": 64, "n_layers": 2, "n_heads": 2},
}
JOINED: dict[str, dict[str, Any]] = {
    "modernbert": {
        "max_position_embeddings": 64,
        **dict.fromkeys([f"{name}_token_id" for name in ("pad", "bos", "cls", "eos", "sep")], 0),
    },
    "gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 2, "bos_token_id": 0, "eos_token_id": 0},
}
"""Families whose projections are one matrix on disk, for tests that take them by name."""
OWN_NAMES = ("distilbert", "gpt2")
COMMON = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2,
          "intermediate_size": 64}  # fmt: skip


def folder_of(family: str, folder: Path) -> Path:
    """A tiny model with random weights and a tokenizer that gives what this family takes."""
    task = Task(name="tiny", dataset="builtin:reviews")
    words = loading.load_tokenizer(NewModel(new="bert", vocab_size=400), task, folder / "cache")
    inputs = ["input_ids", "attention_mask"]
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=words.backend_tokenizer, pad_token="[PAD]", model_max_length=64,
        model_input_names=inputs if family != "bert" else [*inputs, "token_type_ids"],
    )  # fmt: skip
    own = {**SIZES, **JOINED}[family]
    sizes = own if family in OWN_NAMES else {**COMMON, **own}
    config = AutoConfig.for_model(family, vocab_size=len(words), **sizes)
    kind = AutoModelForCausalLM if family == "gpt2" else AutoModelForSequenceClassification
    kind.from_config(config).save_pretrained(folder / family)
    tokenizer.save_pretrained(folder / family)
    return folder / family


@pytest.mark.parametrize("family", ["distilbert", "xlm-roberta", "camembert"])
def test_a_family_trains_and_loads_again(family: str, tmp_path: Path) -> None:
    recipe = tiny.write_recipe(tmp_path, rows=64)
    start = folder_of(family, tmp_path)
    settings = (f"model={start}", "stages.teacher.epochs=1", "checkpoint_minutes=60")
    more = [part for setting in settings for part in ("--set", setting)]
    done = CliRunner().invoke(app, ["run", str(recipe), "--runs", str(tmp_path / "runs"), *more])
    assert done.exit_code == 0, done.stderr
    loaded = loading.load(tmp_path / "runs" / "tiny" / "teacher")
    assert loaded.config.model_type == family
    assert loaded.config.num_labels == 2


def test_a_tokenizer_that_cannot_pad_is_refused_by_name(tmp_path: Path) -> None:
    start = folder_of("bert", tmp_path)
    PreTrainedTokenizerFast.from_pretrained(start, pad_token=None).save_pretrained(start)
    recipe = tiny.write_recipe(tmp_path, rows=64)
    settings = ["--set", f"model={start}", "--runs", str(tmp_path / "runs")]
    done = CliRunner().invoke(app, ["run", str(recipe), *settings])
    assert done.exit_code == 2
    assert "its tokenizer cannot pad" in done.stderr


def changed(folder: Path, **changes: object) -> Path:
    path = folder / "config.json"
    config = {**json.loads(path.read_text()), **changes}
    path.write_text(json.dumps({key: value for key, value in config.items() if value is not None}))
    return folder


def told(*arguments: object) -> str:
    done = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert done.exit_code == 2, done.output
    return done.stderr.replace("\n", " ")


def test_a_model_without_a_trained_head_is_not_exported(tmp_path: Path) -> None:
    start = folder_of("bert", tmp_path)
    weights = load_file(start / "model.safetensors")
    body = {name: each for name, each in weights.items() if not name.startswith("classifier")}
    save_file(body, start / "model.safetensors", metadata={"format": "pt"})
    assert "it is not a trained" in told("export", "--ir", start, "--out", tmp_path / "ir")
    assert not (tmp_path / "ir").exists()


def test_a_head_that_knows_the_classes_in_another_order_says_the_same(tmp_path: Path) -> None:
    names = {"0": "POSITIVE", "1": "NEGATIVE"}
    start = changed(folder_of("roberta", tmp_path), id2label=names, label2id=None)
    task = tasks.load("classification")(("negative", "positive"), ("0", "1"))
    tokenizer = loading.tokenizer_from(start)
    given = tokenizer(["a good film", "bad"], padding=True, return_tensors="pt")
    model, fresh = loading.load_for_training(start, task, tokenizer)
    before = AutoModelForSequenceClassification.from_pretrained(start)
    assert not fresh
    assert model.config.id2label == {0: "negative", 1: "positive"}
    with torch.no_grad():
        ours, theirs = (one.eval()(**given).logits for one in (model, before))
    torch.testing.assert_close(ours, theirs.flip(1))


def test_a_model_of_several_labels_a_text_is_refused(tmp_path: Path) -> None:
    start = changed(folder_of("bert", tmp_path), problem_type="multi_label_classification")
    assert "which is not supported" in told("export", "--ir", start, "--out", tmp_path / "ir")


def test_classes_without_names_have_those_of_transformers(tmp_path: Path) -> None:
    start = folder_of("bert", tmp_path)
    assert "id2label" not in json.loads((start / "config.json").read_text())
    assert tasks.of_folder(start).names == ("LABEL_0", "LABEL_1")
