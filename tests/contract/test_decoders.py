"""Every family of decoders goes through all stages, also one that upstream refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from optimum.intel import OVModelForCausalLM
from transformers import AutoConfig, AutoModelForCausalLM
from typer.testing import CliRunner

from cli import app
from export.decoder import ask
from jpqd.core import artifact
from jpqd.core.progress import Progress
from jpqd.model import loading, new
from jpqd.recipe import recipes
from jpqd.recipe.task import NewModel, build
from jpqd.run import runner

WORDS = 400
SIZES = {"vocab_size": WORDS, "hidden_size": 32, "num_hidden_layers": 2, "intermediate_size": 64,
         "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 128,
         "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}  # fmt: skip
FAMILIES: dict[str, dict[str, Any]] = {
    "qwen3": {**SIZES, "head_dim": 8},
    "qwen2": SIZES,
    "llama": SIZES,
    "gemma3_text": {**SIZES, "head_dim": 8, "sliding_window": 16},
    "gpt2": {"vocab_size": WORDS, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 128,
             "bos_token_id": 1, "eos_token_id": 2},
}  # fmt: skip
STAGES = """\
task: {name: reviews, use: causal_lm, dataset: "builtin:reviews", max_length: 32, train_rows: 100,
       report_on: part, holdout: 0.02, select_on: 0.02}
stages:
  f32: {use: ov_ir}
  int8: {use: compress_weights, needs: [f32]}
  int4: {use: compress_weights, needs: [f32], format: int4, group_size: 16, samples: 2}
"""


def model(family: str, folder: Path) -> Path:
    """A folder with weights large enough that every part matters."""
    torch.manual_seed(0)
    config = AutoConfig.for_model(family, **FAMILIES[family])
    made = AutoModelForCausalLM.from_config(config).float()
    for parameter in made.parameters():
        if parameter.dim() > 1:
            parameter.data.mul_(3)
    task = build({"name": "reviews", "use": "causal_lm", "dataset": "builtin:reviews"})
    tokenizer = new.tokenizer(NewModel(new="qwen3", vocab_size=WORDS), task, folder / "cache")
    loading.save(made, tokenizer, folder / "model")
    return folder / "model"


@pytest.mark.parametrize("family", FAMILIES)
def test_a_decoder_is_exported_compressed_and_writes(family: str, tmp_path: Path) -> None:
    path = tmp_path / "lm.yaml"
    path.write_text(f"model: {model(family, tmp_path)}\n{STAGES}")
    runner.execute(recipes.load(path), tmp_path / "runs", Progress(quiet=True))
    made = tmp_path / "runs" / "lm"
    check = artifact.open_sealed(made / "f32").manifest.metrics["check"]["openvino_model.xml"]
    assert check["same"] == 1.0
    kl = [
        artifact.open_sealed(made / name).manifest.splits["part"]["kl"] for name in ("int8", "int4")
    ]
    assert 0 < kl[0] < kl[1]
    opened = OVModelForCausalLM.from_pretrained(made / "int8", ov_config=dict(ask.ACCURATE))
    ids = [5, 9, 200, 31, 77]
    found = opened(torch.tensor([ids]), attention_mask=torch.ones(1, 5)).logits[0]
    expected = ask.openvino(made / "int8", ask.ACCURATE)(ids)
    torch.testing.assert_close(found, expected, atol=1e-3, rtol=0)
    written = CliRunner().invoke(
        app, ["predict", str(made / "int4"), "The plot", "--new-tokens", "5"]
    )
    assert written.exit_code == 0, written.stderr
