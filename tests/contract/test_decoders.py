"""Every family of decoders goes through all stages, also one that upstream refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from optimum.intel import OVModelForCausalLM
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel
from typer.testing import CliRunner

from cli import app
from export.decoder import ask
from jpqd.core import artifact
from jpqd.core.progress import Progress
from jpqd.model import apart, described, families, loading, new, shrink, size
from jpqd.model import structure as saved
from jpqd.model.shrink import Kept
from jpqd.model.student import shorten
from jpqd.recipe import recipes
from jpqd.recipe.task import NewModel, build
from jpqd.run import runner
from tests.helpers import small

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
  int4: {use: compress_weights, needs: [f32], format: int4, group_size: 8, samples: 2}
"""


IDS = [5, 9, 200, 31, 77]


def network(family: str, **more: Any) -> PreTrainedModel:
    """Weights large enough that every part matters."""
    torch.manual_seed(0)
    config = AutoConfig.for_model(family, **FAMILIES[family] | more)
    made = AutoModelForCausalLM.from_config(config).float()
    apart.separate(made)
    for parameter in made.parameters():
        if parameter.dim() > 1:
            parameter.data.mul_(3)
    made.train(False)
    return made


def model(family: str, folder: Path) -> Path:
    """A folder with a decoder whose first layer was cut, so that its layers differ."""
    made = network(family)
    heads, neurons = families.whole_layer(made)
    rest = Kept(tuple(range(heads)), tuple(range(neurons)))
    shrink.cut(made, [Kept((heads - 1,), (0, 3, 5, 8, 20, 21, 22, 60)), rest])
    task = build({"name": "reviews", "use": "causal_lm", "dataset": "builtin:reviews"})
    tokenizer = new.tokenizer(NewModel(new="qwen3", vocab_size=WORDS), task, folder / "cache")
    loading.save(made, tokenizer, folder / "model")
    return folder / "model"


@torch.no_grad()
def logits(model: PreTrainedModel) -> torch.Tensor:
    found: torch.Tensor = model(input_ids=torch.tensor([IDS]), use_cache=False).logits
    return found


def greedy(model: Any) -> list[int]:
    ids = torch.tensor([IDS])
    given = {"attention_mask": torch.ones_like(ids), "pad_token_id": 0, "do_sample": False}
    written: list[int] = model.generate(ids, max_new_tokens=8, **given)[0].tolist()
    return written


def test_the_tiny_models_are_of_every_family() -> None:
    assert FAMILIES.keys() == described.DECODERS.keys()


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("keys", [None, 1, 4])
def test_a_decoder_is_cut_as_it_was_masked(family: str, keys: int | None, tmp_path: Path) -> None:
    """Query heads that share keys go together; where all of them share the same, each by itself."""
    more = {} if family == "gpt2" or keys is None else {"num_key_value_heads": keys}
    whole = network(family, **more)
    structure: Any = small.pruning(whole, 0.4, score="magnitude").structure
    structure.mask(0.4)
    masked, share = logits(whole), structure.kept_share()
    structure.cut()
    sizes = shrink.sizes(whole)
    assert all(heads for heads, _ in sizes), "a layer without a head has no cache"
    assert sizes != [families.whole_layer(whole)] * 2
    torch.testing.assert_close(logits(whole), masked, atol=1e-5, rtol=0)
    assert size.encoder_share(whole) == pytest.approx(share)
    saved.save(whole, tmp_path)
    loaded = loading.load(tmp_path)
    assert torch.equal(logits(loaded), logits(whole))
    assert len(greedy(loaded)) == len(IDS) + 8


def test_a_whole_decoder_is_saved_as_transformers_reads_it(tmp_path: Path) -> None:
    """GPT-2's projections are joined, and its weights turned."""
    whole = network("gpt2")
    saved.save(whole, tmp_path)
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path)
    assert torch.equal(logits(theirs), logits(whole))


def test_layers_that_are_left_out_leave_a_cache_without_gaps(tmp_path: Path) -> None:
    whole = network("gemma3_text", num_hidden_layers=4, layer_types=None)
    shorten(whole, (1, 4), "student")
    saved.save(whole, tmp_path)
    loaded = loading.load(tmp_path)
    assert torch.equal(logits(loaded), logits(whole))
    assert greedy(loaded)[: len(IDS) + 1] == [*IDS, int(logits(whole)[0, -1].argmax())]


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
    found = opened(torch.tensor([IDS]), attention_mask=torch.ones(1, 5)).logits[0]
    expected = ask.openvino(made / "int8", ask.ACCURATE)(IDS)
    torch.testing.assert_close(found, expected, atol=1e-3, rtol=0)
    exact = OVModelForCausalLM.from_pretrained(made / "f32", ov_config=dict(ask.ACCURATE))
    assert greedy(exact) == greedy(loading.load(tmp_path / "model"))
    written = CliRunner().invoke(
        app, ["predict", str(made / "int4"), "The plot", "--new-tokens", "5"]
    )
    assert written.exit_code == 0, written.stderr
