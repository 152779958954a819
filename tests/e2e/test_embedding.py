"""Embedding models: from a folder of sentence-transformers' kind to one that its users open."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jpqd.model.pooling import Pooling
from tests.helpers import embedding_place as place
from tests.helpers import tiny
from tests.helpers.export_place import jpqd

RECIPE = """\
name: vectors
model: MODEL
task: {use: embedding, name: pairs, dataset: DATA, text: [one, two], label: score, max_length: 24,
       dimensions: [16]}
seed: 1
stages:
  whole: {use: train, epochs: 0}
  cut: {use: train, needs: [whole], epochs: 0, methods: [{use: prune, keep: 0.5, samples: 64}]}
  small:
    use: train
    needs: [cut]
    epochs: 2
    batch_size: 16
    learning_rate: 1.0e-3
    methods:
      - {use: quantize, samples: 32}
      - {use: distill, teacher: whole, weight: 1.0, texts: [TEXTS]}
  whole_ir: {use: ov_ir, needs: [whole]}
  small_ir: {use: ov_ir, needs: [small]}
"""
SENTENCES = ["good film", "a very long film about nothing that any of us would want to see", "bad"]
PROMPT = "query: "


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of every stage: mean pooling, and a prompt before every text."""
    folder = tmp_path_factory.mktemp("vectors")
    how = Pooling("mean", prompts={"query": PROMPT, "other": "o: "}, prompt_name="query")
    place.write_model(folder / "model", how=how)
    place.write_pairs(folder / "data")
    (folder / "texts.txt").write_text("\n".join(place.texts(64)) + "\n")
    recipe = RECIPE.replace("MODEL", str(folder / "model")).replace("DATA", str(folder / "data"))
    (folder / "vectors.yaml").write_text(recipe.replace("TEXTS", str(folder / "texts.txt")))
    done = jpqd("run", folder / "vectors.yaml", "--runs", folder / "runs")
    assert done.exit_code == 0, done.output
    return folder


def test_texts_that_are_read_one_at_a_time_cannot_be_compared(folder: Path, tmp_path: Path) -> None:
    given = ("--runs", tmp_path, "--set", "stages.small.micro_batch=1", "--until", "small")
    done = jpqd("run", folder / "vectors.yaml", *given)
    assert done.exit_code == 2
    assert "which takes two of them. Give a larger batch_size or micro_batch" in done.stderr


def figures(folder: Path, stage: str) -> dict[str, Any]:
    found: dict[str, Any] = tiny.manifest(folder / "runs", stage, "vectors")["metrics"]
    return found["validation"]


def test_a_model_is_measured_against_scores_and_against_the_recipe_s_model(folder: Path) -> None:
    whole, cut, small = (figures(folder, stage) for stage in ("whole", "cut", "small"))
    assert whole["n"] == 64 and whole["cosine"] == pytest.approx(1, abs=1e-5)
    for name in ("recall_10", "ndcg_10"):
        assert whole[name] == pytest.approx(1, abs=1e-3)
    assert -1 < whole["spearman"] < 1 and whole["spearman"] != whole["spearman_16"]
    assert cut["cosine"] < 1 and cut["recall_10"] < 1
    history = json.loads((folder / "runs" / "vectors" / "small" / "history.json").read_text())
    losses = [entry["distill_loss"] for entry in history if "distill_loss" in entry]
    assert losses[-1] < losses[0] and small["cosine"] > 0.99
    assert tiny.manifest(folder / "runs", "small", "vectors")["metrics"]["data"]["rows"]["train"][
        "unlabelled"
    ] == 64  # fmt: skip


def test_the_ir_gives_the_vectors_of_its_model(folder: Path) -> None:
    for stage, least in (("whole_ir", 0.9999), ("small_ir", 0.9)):
        metrics = tiny.manifest(folder / "runs", stage, "vectors")["metrics"]
        (check,) = metrics["check"].values()
        assert check["mean_cosine"] > least
        assert metrics["validation"]["spearman"] == pytest.approx(
            figures(folder, stage.removesuffix("_ir"))["spearman"], abs=0.05
        )


def vectors(folder: Path, stage: str) -> np.ndarray:
    lines = folder / "lines.txt"
    lines.write_text("\n".join(SENTENCES) + "\n")
    done = jpqd("predict", folder / "runs" / "vectors" / stage, "--file", lines, "--json")
    assert done.exit_code == 0, done.output
    return np.array([json.loads(line)["vector"] for line in done.stdout.splitlines()])


@pytest.mark.parametrize("stage", ["whole_ir", "small_ir"])
def test_sentence_transformers_opens_it_and_gives_the_same(folder: Path, stage: str) -> None:
    from sentence_transformers import SentenceTransformer

    ours = vectors(folder, stage)
    model = SentenceTransformer(
        str(folder / "runs" / "vectors" / stage), backend="openvino", device="cpu"
    )
    assert model.max_seq_length == 24
    theirs = model.encode(SENTENCES, batch_size=1)
    assert (ours * theirs).sum(1) == pytest.approx(1, abs=1e-4)


def test_genai_and_optimum_open_it_too(folder: Path) -> None:
    import openvino_genai
    import torch
    from optimum.intel import OVModelForFeatureExtraction
    from transformers import AutoTokenizer

    ir, texts = folder / "runs" / "vectors" / "whole_ir", [PROMPT + text for text in SENTENCES]
    ours = vectors(folder, "whole_ir")
    how = openvino_genai.TextEmbeddingPipeline.Config()
    how.pooling_type = openvino_genai.TextEmbeddingPipeline.PoolingType.MEAN
    how.normalize = True
    pipeline = openvino_genai.TextEmbeddingPipeline(str(ir), "CPU", how)
    assert (ours * np.array(pipeline.embed_documents(texts))).sum(1) == pytest.approx(1, abs=1e-3)
    model, tokenizer = (
        kind.from_pretrained(ir) for kind in (OVModelForFeatureExtraction, AutoTokenizer)
    )
    batch = tokenizer(texts, padding=True, truncation=True, max_length=24, return_tensors="pt")
    hidden, mask = model(**batch).last_hidden_state, batch["attention_mask"][..., None]
    theirs = torch.nn.functional.normalize((hidden * mask).sum(1) / mask.sum(1)).numpy()
    assert (ours * theirs).sum(1) == pytest.approx(1, abs=1e-3)


def test_stages_are_compared_and_reported(folder: Path) -> None:
    done = jpqd("compare", "vectors", "--runs", folder / "runs", "--json")
    assert done.exit_code == 0, done.output
    assert "spearman" in done.stdout
    done = jpqd("report", folder / "runs" / "vectors")
    assert done.exit_code == 0, done.output
    page = (folder / "runs" / "vectors" / "report.md").read_text()
    assert "spearman" in page.lower()
    assert "mean cosine to it" in page and "correlation with it" not in page


def test_analyze_says_that_it_is_for_other_models(folder: Path) -> None:
    done = jpqd("analyze", folder / "runs" / "vectors")
    assert done.exit_code == 2
    assert "its task is `use: embedding`, and analyze is for models that classify" in done.stderr


def test_sentence_transformers_own_int8_is_an_arm(folder: Path) -> None:
    done = jpqd(
        "bench", "vectors", "--runs", folder / "runs", "--arms", "whole_ir:f32,whole:st_int8",
        "--mode", "latency", "--seconds", "2", "--accuracy", "--json",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    names = {arm["name"]: arm["accuracy"]["value"] for arm in json.loads(done.stdout)["arms"]}
    exact = figures(folder, "whole")["spearman"]
    assert names["whole:f32"] == pytest.approx(exact, abs=1e-4)
    assert names["whole_ir:f32"] == pytest.approx(exact, abs=1e-3)
    assert names["whole:st_int8"] == pytest.approx(exact, abs=0.2)


@pytest.mark.parametrize(("family", "mode"), [("deberta-v2", "last"), ("modernbert", "cls")])
def test_other_families_are_cut_quantized_and_exported(
    family: str, mode: Any, tmp_path: Path
) -> None:
    place.write_model(tmp_path / "model", family, Pooling(mode))
    place.write_pairs(tmp_path / "data", rows=64)
    config = json.loads((tmp_path / "model" / "config.json").read_text())
    config["architectures"] = ["SomethingForMaskedLM"]  # as all-mpnet-base-v2 says
    (tmp_path / "model" / "config.json").write_text(json.dumps(config))
    recipe = f"""\
name: f
model: {tmp_path / "model"}
task: {{use: embedding, name: f, dataset: {tmp_path / "data"}, text: [one], max_length: 24}}
stages:
  small:
    use: train
    epochs: 0
    methods: [{{use: prune, keep: 0.5, samples: 64}}, {{use: quantize, samples: 32}}]
  small_ir: {{use: ov_ir, needs: [small]}}
"""
    (tmp_path / "f.yaml").write_text(recipe)
    done = jpqd("run", tmp_path / "f.yaml", "--runs", tmp_path / "runs")
    assert done.exit_code == 0, done.output
    metrics = tiny.manifest(tmp_path / "runs", "small_ir", "f")["metrics"]
    (check,) = metrics["check"].values()
    assert check["mean_cosine"] > 0.9 and any("8" in name for name in check["matmuls"])
    assert metrics["model"]["encoder_share"] < 0.6
    assert "spearman" not in metrics["validation"], "single texts have no score"
    done = jpqd("compare", "f", "--runs", tmp_path / "runs", "--json")
    assert json.loads(done.stdout)["metric"] == "cosine"
    (tmp_path / "f.yaml").write_text(recipe + "  r: {use: robustness, needs: [small]}\n")
    done = jpqd("plan", tmp_path / "f.yaml", "--runs", tmp_path / "runs")
    assert done.exit_code == 2 and "does not measure" in done.stderr


def test_an_ir_is_measured_on_other_pairs(folder: Path) -> None:
    ir = folder / "runs" / "vectors" / "whole_ir"
    done = jpqd(
        "evaluate", ir, "--data", folder / "data" / "validation.csv", "--text", "one,two",
        "--label", "score", "--json",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert found["rows"] == {"used": 64, "unusable": 0}
    assert found["figures"]["spearman"] == pytest.approx(
        figures(folder, "whole")["spearman"], abs=0.05
    )
