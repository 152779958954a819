"""Every family of decoders goes through all stages, also one that upstream refuses."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
import pytest
import torch
from optimum.intel import OVModelForCausalLM
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel
from typer.testing import CliRunner

from cli import app
from export.decoder import ask
from jpqd.core import artifact
from jpqd.core.errors import UserError
from jpqd.core.progress import Progress
from jpqd.methods.prune import Prune, refit
from jpqd.methods.prune.threshold import Thresholded
from jpqd.methods.quantize import Quantize
from jpqd.model import apart, described, families, loading, new, rounded, shrink, size
from jpqd.model import structure as saved
from jpqd.model.shrink import Kept
from jpqd.model.student import shorten
from jpqd.recipe import recipes
from jpqd.recipe.task import NewModel, build
from jpqd.run import plan, runner
from jpqd.training.train import _set_dropout
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
  few: {use: train, epochs: 0, methods: [{use: qlora, rank: 2, group_size: 8}]}
  few_ir: {use: ov_ir, needs: [few], beside: f32}
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
    assert torch.allclose(logits(theirs), logits(whole), atol=1e-5)  # turned weights, other sums


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("heads", [True, False])
def test_a_cut_decoder_is_solved_again_whatever_its_config_says_of_a_cache(
    family: str, heads: bool
) -> None:
    """The second half of its heads and neurons repeats the first."""
    twins = network(family, num_key_value_heads=4) if family != "gpt2" else network(family)
    twins.config.use_cache = True
    arch = families.of(twins)
    for layer in families.layers(twins):
        for path in (*arch.ffn_in, *((arch.query, arch.key, arch.value) if heads else ())):
            part: Any = layer.get_submodule(path)
            half = part.out_features // 2
            part.weight.data[half:] = part.weight.data[:half]
    texts = [torch.randint(5, WORDS, (16, 12)) for _ in range(8)]
    batches = [{"input_ids": ids, "attention_mask": torch.ones_like(ids)} for ids in texts]
    count, neurons = families.whole_layer(twins)
    half = Kept(tuple(range(count // 2 if heads else count)), tuple(range(neurons // 2)))
    expected, solved, plain = logits(twins), deepcopy(twins), deepcopy(twins)
    whole = refit.whole_layers(solved)
    for one in (solved, plain):
        shrink.cut(one, [half, half])
    refit.refit(solved, whole, batches)
    gaps = [(logits(one) - expected).abs().mean() for one in (solved, plain)]
    assert gaps[0] < 0.1 * gaps[1]


def test_what_a_decoder_cannot_do_without_is_refused() -> None:
    with pytest.raises(UserError, match="no head left"):
        shrink.cut(network("llama"), [Kept((), (1,)), Kept((0,), (1,))])
    scaled = network("gpt2", scale_attn_by_inverse_layer_idx=True)
    with pytest.raises(UserError, match="scaled by the number of its layer"):
        shorten(scaled, (2,), "student")


def test_a_threshold_leaves_each_layer_a_head() -> None:
    options = Prune(use="prune", target="threshold", structure="block", score="movement")
    structure = Thresholded(network("qwen3"), options, 3)
    for gate in structure.gates_that_train():
        gate.get_buffer("threshold").fill_(1.0)
    structure.resolve()
    structure.cut()
    assert all(heads for heads, _ in shrink.sizes(structure.model))


def test_blocks_are_no_larger_than_a_head_of_keys() -> None:
    block: Any = small.pruning(
        network("qwen3"), 0.5, structure="block", score="magnitude"
    ).structure
    block.mask(0.5)
    block.cut()
    assert all(heads for heads, _ in shrink.sizes(block.model))


def test_quantizers_are_refused() -> None:
    with pytest.raises(UserError, match="quantize is for encoders"):
        Quantize(use="quantize").attach(network("qwen3"), small.training())


@pytest.mark.parametrize(
    ("stage", "why"),
    [
        ("sensitivity", "does not measure models"),
        ("latency_table", "does not measure models"),
        ("vocabulary", "falls into other windows"),
    ],
)
def test_stages_that_know_classes_only_are_refused_before_anything_runs(
    stage: str, why: str, tmp_path: Path
) -> None:
    path = tmp_path / "lm.yaml"
    head, _ = STAGES.split("stages:")
    stages = f"stages:\n  f: {{use: train, epochs: 0}}\n  wrong: {{use: {stage}, needs: [f]}}\n"
    path.write_text(f"model: {model('llama', tmp_path)}\n{head}{stages}")
    with pytest.raises(UserError, match=f"`use: {stage}`.*{why}"):
        plan.plan(recipes.load(path), tmp_path / "runs")


@pytest.mark.parametrize("family", FAMILIES)
def test_operations_of_a_whole_decoder_are_its_own(family: str) -> None:
    facts = size.facts(network(family))
    assert facts.dense is not None and facts.gflops_128 == facts.dense.gflops_128


def test_layers_that_are_left_out_leave_a_cache_without_gaps(tmp_path: Path) -> None:
    whole = network("gemma3_text", num_hidden_layers=4, layer_types=None)
    shorten(whole, (1, 4), "student")
    saved.save(whole, tmp_path)
    loaded = loading.load(tmp_path)
    assert torch.equal(logits(loaded), logits(whole))
    assert greedy(loaded)[: len(IDS) + 1] == [*IDS, int(logits(whole)[0, -1].argmax())]


def _tables(ir: Path) -> list[np.ndarray]:
    """Return the constants of the size of a table of words."""
    constants = [op for op in ov.Core().read_model(ir / "openvino_model.xml").get_ops()
                 if op.get_type_name() == "Constant"]  # fmt: skip
    return [op.data.copy() for op in constants if list(op.get_output_shape(0)) == [WORDS, 32]]


def _numbers(stage: Path) -> list[np.ndarray]:
    """Return the numbers that trained weights of the size of a table are made of."""
    trained = loading.load(stage)
    grids = {trained.get_parameter(path): grid for _, path, grid in rounded.on(trained)}
    return [grid.numbers(weight.detach()).numpy() for weight, grid in grids.items()
            if list(weight.shape) == [WORDS, 32]]  # fmt: skip


@pytest.mark.parametrize("family", sorted(FAMILIES.keys() - {"qwen2"}))  # a Llama to the exporter
def test_a_decoder_is_exported_compressed_and_writes(family: str, tmp_path: Path) -> None:
    path = tmp_path / "lm.yaml"
    path.write_text(f"model: {model(family, tmp_path)}\n{STAGES}")
    runner.execute(recipes.load(path), tmp_path / "runs", Progress(quiet=True))
    made = tmp_path / "runs" / "lm"
    check = artifact.open_sealed(made / "f32").manifest.metrics["check"]["openvino_model.xml"]
    assert check["same"] == 1.0
    kl = [
        artifact.open_sealed(made / name).manifest.splits["part"]["kl"]
        for name in ("int8", "int4", "few_ir")
    ]
    assert 0 < kl[0] < min(kl[1:])
    tables, trained = _tables(made / "few_ir"), _numbers(made / "few")
    assert tables
    for table in tables:  # in 8 bits, and on the grid on which it was trained
        assert table.dtype == np.uint8
        assert any(np.array_equal(table, numbers) for numbers in trained)
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


def test_dropout_reaches_attention_that_takes_it_as_a_number() -> None:
    model = network("qwen3")
    _set_dropout(model, 0.25, "stage")
    rates = [getattr(part, "attention_dropout", None) for part in model.modules()]
    assert [rate for rate in rates if rate is not None] == [0.25] * 2
    with pytest.raises(UserError, match="no place for any"):
        _set_dropout(torch.nn.Linear(2, 2), 0.1, "stage")  # type: ignore[arg-type]
