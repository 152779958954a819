"""Low-rank adapters: what learns, what peft reads, what they cannot stand beside."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification
from typer.testing import CliRunner

from cli import app
from export.decoder import ask
from jpqd.core import artifact
from jpqd.core.progress import Progress
from jpqd.methods.distill.inside import PROJECTION
from jpqd.methods.lora import adapters
from jpqd.recipe import recipes
from jpqd.run import runner
from tests.e2e.test_families import folder_of
from tests.helpers import small, tiny

TASK = """\
model: {new: bert, hidden_size: 32, num_hidden_layers: 2, num_attention_heads: 2,
        intermediate_size: 64, vocab_size: 400}
task: {name: r, dataset: "builtin:reviews", text: [text], label: label, max_length: 32,
       train_rows: 256, report_on: part, holdout: 0.05}
stages:
  whole: {use: train, epochs: 1, batch_size: 16, learning_rate: 3.0e-3}
"""
LEARNT = """\
  learnt:
    use: train
    needs: [whole]
    epochs: 2
    batch_size: 16
    learning_rate: 1.0e-2
    precision: f32
    methods: [{use: lora, rank: 4, dropout: 0.1}]
"""
AFTER_A_CUT = """\
  cut: {use: train, needs: [whole], epochs: 0, methods: [{use: prune, keep: 0.5, samples: 64}]}
  back:
    use: train
    needs: [cut]
    epochs: 1
    batch_size: 16
    learning_rate: 1.0e-2
    methods: [{use: lora, dora: true, targets: ffn}, {use: distill, teacher: whole}]
"""
WORDS = {"input_ids": torch.tensor([[2, 40, 77, 120, 9, 3]])}


def run(folder: Path, text: str) -> Path:
    path = folder / "lora.yaml"
    path.write_text(text)
    runner.execute(recipes.load(path), folder / "runs", Progress(quiet=True))
    return folder / "runs" / "lora"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run(tmp_path_factory.mktemp("lora"), TASK + LEARNT + AFTER_A_CUT)


def weights(stage: Path) -> dict[str, torch.Tensor]:
    return load_file(stage / "model.safetensors")


@torch.no_grad()
def logits(model: Any) -> torch.Tensor:
    found: torch.Tensor = model.eval()(**WORDS).logits
    return found


def test_only_adapters_and_head_have_learnt(made: Path) -> None:
    before, after = weights(made / "whole"), weights(made / "learnt")
    assert before.keys() == after.keys()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    expected = {f"bert.encoder.layer.{layer}.{path}.weight" for layer in (0, 1) for path in (
        "attention.self.query", "attention.self.key", "attention.self.value",
        "attention.output.dense", "intermediate.dense", "output.dense")}  # fmt: skip
    head = {f"{part}.{kind}" for part in ("classifier", "bert.pooler.dense")
            for kind in ("weight", "bias")}  # fmt: skip
    assert changed == expected | head
    facts = tiny.manifest(made.parent, "learnt", "lora")["metrics"]["train"]
    whole = tiny.manifest(made.parent, "whole", "lora")["metrics"]["train"]
    adapters = 2 * 4 * (4 * (32 + 32) + 2 * (32 + 64))
    assert facts["trainable_parameters"] == adapters + 33 * 32 + 33 * 2
    assert whole["trainable_parameters"] == sum(weight.numel() for weight in before.values())
    assert facts["peak_memory_mb"] > 100 and facts["samples_per_second"] > 0


def test_peft_opens_the_adapter_and_says_the_same_as_the_merged_model(made: Path) -> None:
    base = AutoModelForSequenceClassification.from_pretrained(made / "whole")
    apart = PeftModel.from_pretrained(base, made / "learnt" / "adapter")
    merged = AutoModelForSequenceClassification.from_pretrained(made / "learnt")
    torch.testing.assert_close(logits(apart), logits(merged), atol=1e-5, rtol=0)
    plain = AutoModelForSequenceClassification.from_pretrained(made / "whole")
    assert (logits(plain) - logits(merged)).abs().max() > 1e-3


def test_a_cut_model_learns_by_adapters_towards_its_teacher(made: Path) -> None:
    before, after = weights(made / "cut"), weights(made / "back")
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed and all("dense" in name or "classifier" in name for name in changed)
    assert not any("attention" in name for name in changed), "targets: ffn"
    facts = [artifact.open_sealed(made / stage).manifest.model for stage in ("cut", "back")]
    assert facts[0] and facts[1] and facts[0].layers == facts[1].layers
    assert not (made / "back" / "adapter").exists(), "transformers loads no cut model"


def test_a_decoder_learns_by_adapters_and_its_words_stand_still(tmp_path: Path) -> None:
    head = """\
model: {new: qwen3, hidden_size: 32, num_hidden_layers: 2, num_attention_heads: 2,
        intermediate_size: 64, vocab_size: 400}
task: {name: r, use: causal_lm, dataset: "builtin:reviews", max_length: 32, train_rows: 200,
       report_on: part, holdout: 0.02, select_on: 0.02}
stages:
  whole: {use: train, epochs: 1, batch_size: 8, learning_rate: 1.0e-2}
"""
    irs = "  whole_ir: {use: ov_ir, needs: [whole]}\n  ir: {use: ov_ir, needs: [learnt]}\n"
    made = run(tmp_path, head + LEARNT + irs)
    before, after = weights(made / "whole"), weights(made / "learnt")
    still = [name for name in before if torch.equal(before[name], after[name])]
    assert {name for name in before if "proj" not in name} == set(still)
    first, then = (artifact.open_sealed(made / name).manifest for name in ("whole", "learnt"))
    assert then.splits["part"]["perplexity"] < first.splits["part"]["perplexity"]
    base = AutoModelForCausalLM.from_pretrained(made / "whole")
    apart = PeftModel.from_pretrained(base, made / "learnt" / "adapter")
    merged = AutoModelForCausalLM.from_pretrained(made / "learnt")
    torch.testing.assert_close(logits(apart), logits(merged), atol=1e-4, rtol=0)
    assert _written(made / "whole_ir", made / "learnt" / "adapter") == _written(made / "ir")
    assert _written(made / "whole_ir") != _written(made / "ir")


def _written(ir: Path, adapter: Path | None = None) -> list[str]:
    """Write with GenAI, with an adapter put on an IR while it runs."""
    import openvino_genai as genai

    how = genai.GenerationConfig(max_new_tokens=12, do_sample=False)
    more = {}
    if adapter:
        config = json.loads((adapter / "adapter_config.json").read_text())
        on = genai.Adapter(str(adapter / "adapter_model.safetensors"))
        more["adapters"] = genai.AdapterConfig(on, config["lora_alpha"] / config["r"])
    model = genai.LLMPipeline(str(ir), "CPU", **ask.ACCURATE, **more)
    return [str(model.generate(start, how)) for start in ("The plot was", "I would", "It is")]


@pytest.mark.parametrize("other", ["{use: prune, keep: 0.5}", "{use: quantize}"])
def test_what_changes_the_projections_needs_a_stage_of_its_own(tmp_path: Path, other: str) -> None:
    path = tmp_path / "lora.yaml"
    path.write_text(TASK + LEARNT.replace("{use: lora,", f"{other}, {{use: lora,"))
    done = CliRunner().invoke(app, ["plan", str(path), "--runs", str(tmp_path / "runs")])
    assert done.exit_code == 2 and "stage of its own" in done.stderr.replace("\n", " ")


def test_without_peft_the_extra_is_named(
    made: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "peft", None)
    path = tmp_path / "lora.yaml"
    path.write_text(TASK + LEARNT.replace("rank: 4", "rank: 2"))
    done = CliRunner().invoke(app, ["run", str(path), "--runs", str(made.parent)])
    assert done.exit_code == 2 and "pip install 'jpqd[lora]'" in done.stderr


def test_the_adapter_says_what_it_is(made: Path) -> None:
    config = json.loads((made / "learnt" / "adapter" / "adapter_config.json").read_text())
    assert config["task_type"] == "SEQ_CLS" and config["r"] == 4 and config["lora_alpha"] == 8
    assert set(config["modules_to_save"]) == {"classifier", "pooler"}


def test_three_vectors_a_layer_learn_and_become_part_of_the_weights(tmp_path: Path) -> None:
    made = run(tmp_path, TASK + LEARNT.replace("{use: lora, rank: 4, dropout: 0.1}", "{use: ia3}"))
    facts = tiny.manifest(made.parent, "learnt", "lora")["metrics"]["train"]
    assert facts["trainable_parameters"] == 2 * (32 + 32 + 64) + 33 * 32 + 33 * 2
    before, after = weights(made / "whole"), weights(made / "learnt")
    assert before.keys() == after.keys()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    layers = {name for name in changed if "layer." in name}
    paths = ("attention.self.key", "attention.self.value", "output.dense")
    expected = {f"bert.encoder.layer.{n}.{p}.weight" for n in (0, 1) for p in paths}
    expected |= {f"bert.encoder.layer.{n}.attention.self.{p}.bias" for n in (0, 1)
                 for p in ("key", "value")}  # fmt: skip
    assert layers == expected
    base = AutoModelForSequenceClassification.from_pretrained(made / "whole")
    apart = PeftModel.from_pretrained(base, made / "learnt" / "adapter")
    merged = AutoModelForSequenceClassification.from_pretrained(made / "learnt")
    torch.testing.assert_close(logits(apart), logits(merged), atol=1e-5, rtol=0)


@pytest.mark.parametrize("first", [True, False])
def test_hidden_states_are_compared_beside_adapters_in_any_order(
    made: Path, tmp_path: Path, first: bool
) -> None:
    """The projection between two widths learns, and is no part of the adapter."""
    methods = ["{use: lora, rank: 4}", f"{{use: distill, teacher: {made / 'whole'}, hidden: 1.0}}"]
    listed = ", ".join(reversed(methods) if first else methods)
    text = TASK.replace("hidden_size: 32", "hidden_size: 16") + LEARNT.replace(
        "epochs: 2", "epochs: 0.5"
    )
    found = run(tmp_path, text.replace("{use: lora, rank: 4, dropout: 0.1}", listed))
    facts = tiny.manifest(found.parent, "learnt", "lora")["metrics"]["train"]
    adapters = 2 * 4 * (4 * (16 + 16) + 2 * (16 + 64))
    assert facts["trainable_parameters"] == adapters + 17 * 16 + 17 * 2 + 17 * 32
    apart = load_file(found / "learnt" / "adapter" / "adapter_model.safetensors")
    assert not [name for name in {**apart, **weights(found / "learnt")} if PROJECTION in name]


@pytest.mark.parametrize("which", ["attention", "ffn"])
def test_a_family_that_cannot_be_pruned_takes_adapters(which: str) -> None:
    found = adapters.targets(which, small.of("camembert", **small.SIZES))
    assert len(found) == small.LAYERS * (4 if which == "attention" else 2)
    assert all(name.startswith("roberta.encoder.layer.") for name in found)


JOINED = {
    "gpt2": "task: {name: r, use: causal_lm, dataset: 'builtin:reviews', max_length: 32, "
    "train_rows: 100, report_on: part, holdout: 0.02, select_on: 0.02}",
    "modernbert": "task: {name: r, dataset: 'builtin:reviews', text: [text], label: label, "
    "max_length: 32, train_rows: 100, report_on: part, holdout: 0.05}",
}


@pytest.mark.parametrize("method", ["{use: lora, rank: 4}", "{use: ia3}"])
@pytest.mark.parametrize("family", JOINED)
def test_projections_that_are_one_matrix_on_disk_take_adapters(
    family: str, method: str, tmp_path: Path
) -> None:
    model = folder_of(family, tmp_path)
    stages = (
        "  whole: {use: train, epochs: 0}\n"
        "  learnt: {use: train, needs: [whole], epochs: 2, batch_size: 16, learning_rate: 1.0e-2, "
        f"precision: f32, methods: [{method}]}}\n"
    )
    made = run(tmp_path, f"model: {model}\n{JOINED[family]}\nstages:\n{stages}")
    before, after = weights(made / "whole"), weights(made / "learnt")
    assert before.keys() == after.keys()
    assert any(not torch.equal(before[name], after[name]) for name in before if "attn" in name)
