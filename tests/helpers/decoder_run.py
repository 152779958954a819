"""A run of a tiny decoder, and what its stages say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from optimum.intel import OVModelForCausalLM

from export.decoder import ask
from jpqd.core import artifact
from jpqd.core.progress import Progress
from jpqd.recipe import recipes
from jpqd.run import runner

HEAD = """\
model: {new: qwen3, hidden_size: 32, num_hidden_layers: 2, num_attention_heads: 2,
        intermediate_size: 64, vocab_size: 400}
task: {name: reviews, use: causal_lm, dataset: "builtin:reviews", max_length: 32, train_rows: 200,
       report_on: part, holdout: 0.02, select_on: 0.02}
seed: 1
stages:
"""
BASE = """\
  base: {use: train, epochs: 3, batch_size: 8, learning_rate: 1.0e-2, precision: f32}
  f32: {use: ov_ir, needs: [base]}
"""
INT8 = "  int8: {use: compress_weights, needs: [f32]}\n"
FOUR = "  four: {{use: compress_weights, needs: [f32], {}}}\n"
RTN = "format: int4, group_size: 32, method: rtn"


def run(folder: Path, stages: str, head: str = HEAD + BASE) -> Path:
    path = folder / "lm.yaml"
    path.write_text(head + stages)
    runner.execute(recipes.load(path), folder / "runs", Progress(quiet=True))
    return folder / "runs" / "lm"


def figures(run: Path, stage: str, split: str = "part") -> dict[str, Any]:
    found: dict[str, Any] = artifact.open_sealed(run / stage).manifest.splits[split]
    return found


def logits(folder: Path, ids: list[int]) -> torch.Tensor:
    model = OVModelForCausalLM.from_pretrained(folder, ov_config=dict(ask.ACCURATE))
    found: torch.Tensor = model(torch.tensor([ids]), attention_mask=torch.ones(1, len(ids))).logits
    return found[0]
