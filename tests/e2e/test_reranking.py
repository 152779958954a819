"""Rerankers: with labels and without, to an IR that sentence-transformers opens."""

from __future__ import annotations

import csv
import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from datasets import Dataset
from transformers import AutoConfig, AutoModelForSequenceClassification

from jpqd.core import compression_plan
from jpqd.recipe import recipes
from jpqd.training import references
from jpqd.training.learner import Learner
from tests.helpers import embedding_place as place
from tests.helpers import small, tiny
from tests.helpers.export_place import jpqd
from tests.helpers.stages import STAGES

RECIPE = """\
name: order
model: MODEL
task: {use: reranking, name: pairs, dataset: DATA, max_length: 32}
seed: 1
stages:
  whole: {use: train, epochs: 0}
  cut: {use: train, needs: [whole], epochs: 0, methods: [{use: prune, keep: 0.5, samples: 64}]}
  small:
    use: train
    needs: [cut]
    epochs: 3
    batch_size: 16
    learning_rate: 1.0e-3
    methods: [{use: distill, teacher: whole, weight: WEIGHT}]
  small_ir: {use: ov_ir, needs: [small]}
"""


def write(folder: Path) -> Path:
    """Queries of one word, and texts that have it or not; a cross-encoder with random weights."""
    place.write_model(folder / "model")
    torch.manual_seed(1)
    config = AutoConfig.for_model("bert", **small.SIZES, vocab_size=place.WORDS, num_labels=1)
    model = AutoModelForSequenceClassification.from_config(config).float()
    for weight in model.parameters():
        if weight.dim() > 1:
            weight.data.mul_(4)
    model.save_pretrained(folder / "model")
    draw, data = random.Random(0), folder / "data"
    data.mkdir()
    for split, count in (("train", 24), ("validation", 12)):
        with (data / f"{split}.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["query", "text", "label"])
            for number in range(count):
                for text in draw.sample(place.texts(), 6):
                    word = draw.choice(text.split())
                    writer.writerow([f"{split} {number}", text, int(len(word) > 4)])
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write(tmp_path_factory.mktemp("order"))
    for name, task, weight in (("told", "label: label, ", "0.5"), ("alone", "", "1.0")):
        recipe = RECIPE.replace("MODEL", str(folder / "model")).replace("WEIGHT", weight)
        recipe = recipe.replace("name: pairs, ", f"name: pairs, {task}").replace(
            "name: order", f"name: {name}"
        )
        (folder / f"{name}.yaml").write_text(recipe.replace("DATA", str(folder / "data")))
        done = jpqd("run", folder / f"{name}.yaml", "--runs", folder / "runs")
        assert done.exit_code == 0, done.output
    return folder


def figures(folder: Path, run: str, stage: str) -> dict[str, Any]:
    found: dict[str, Any] = tiny.manifest(folder / "runs", stage, run)["metrics"]["validation"]
    return found


def test_with_labels_the_order_is_measured_by_queries(folder: Path) -> None:
    whole, cut = (figures(folder, "told", stage) for stage in ("whole", "cut"))
    assert whole["n"] <= 12 and 0 < whole["ndcg_10"] <= 1 and 0 < whole["mrr_10"] <= 1
    assert whole["spearman"] == pytest.approx(1)
    assert cut["spearman"] < 1


def test_without_labels_a_model_is_held_against_the_recipe_s_own(folder: Path) -> None:
    whole, cut = (figures(folder, "alone", stage) for stage in ("whole", "cut"))
    assert whole["n"] == 72 and "ndcg_10" not in whole
    assert whole["spearman"] == pytest.approx(1) and cut["spearman"] < 1
    history = json.loads((folder / "runs" / "alone" / "small" / "history.json").read_text())
    losses = [entry["distill_loss"] for entry in history if "distill_loss" in entry]
    assert losses[-1] < losses[0]


def test_sentence_transformers_opens_it_and_gives_the_same(folder: Path) -> None:
    from sentence_transformers import CrossEncoder

    ir = folder / "runs" / "told" / "small_ir"
    pairs = [("train 1", "a good film"), ("what", "a long and very bad film that nobody likes")]
    done = jpqd("predict", ir, *(text for pair in pairs for text in pair))
    assert done.exit_code == 0, done.output
    ours = [float(line.split("\t")[0]) for line in done.stdout.splitlines()]
    model = CrossEncoder(str(ir), backend="openvino", device="cpu")
    theirs = model.predict(pairs, activation_fn=torch.nn.Identity())
    assert np.allclose(ours, theirs, atol=1e-3)


def test_runs_are_compared(folder: Path) -> None:
    for run in ("told", "alone"):
        done = jpqd("compare", run, "--runs", folder / "runs")
        assert done.exit_code == 0, done.output


def test_a_label_that_is_no_worth_is_refused(folder: Path, tmp_path: Path) -> None:
    text = (folder / "told.yaml").read_text()
    data = tmp_path / "data"
    data.mkdir()
    for split in ("train", "validation"):
        table = (folder / "data" / f"{split}.csv").read_text()
        (data / f"{split}.csv").write_text(table.replace(",1\n", ",7\n"))
    (tmp_path / "told.yaml").write_text(text.replace(str(folder / "data"), str(data)))
    done = jpqd("run", tmp_path / "told.yaml", "--runs", tmp_path / "runs")
    assert done.exit_code == 2
    assert "7" in done.stderr and "from 0 to 1" in done.stderr


def test_a_model_without_that_head_cannot_say_what_is_right(folder: Path, tmp_path: Path) -> None:
    plain = place.write_model(tmp_path / "plain")
    text = (folder / "alone.yaml").read_text().replace(str(folder / "model"), str(plain))
    (tmp_path / "alone.yaml").write_text(text)
    done = jpqd("run", tmp_path / "alone.yaml", "--runs", tmp_path / "runs")
    assert done.exit_code == 2
    assert "no reranker" in done.stderr and "task.label" in done.stderr


def test_the_numbers_of_queries_stay_exact() -> None:
    numbers = [4_294_967_291.0, 4_294_967_295.0]
    labels = [[1.0, number] for number in numbers]
    split = Dataset.from_dict({"row": [0, 1], "labels": labels})
    beside = references._beside(split, np.array([[0.5], [0.25]]))
    assert [row[1:] for row in beside["labels"]] == [[numbers[0], 0.5], [numbers[1], 0.25]]


def test_a_metric_that_the_rows_cannot_have_is_refused_before_the_first_step(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No model has a trained head, so nothing says what the answers should be."""
    plain = place.write_model(tmp_path / "plain")
    text = (folder / "told.yaml").read_text().replace(str(folder / "model"), str(plain))
    text = text[: text.index("stages:")].replace("label: label", "label: label, metric: spearman")
    (tmp_path / "told.yaml").write_text(f"{text}stages:\n  one: {{use: train, epochs: 1}}\n")
    monkeypatch.setattr(Learner, "step", None)
    done = jpqd("run", tmp_path / "told.yaml", "--runs", tmp_path / "runs")
    assert done.exit_code == 2, done.output
    assert "metric 'spearman' is not known" in done.stderr and "ndcg_10, mrr_10" in done.stderr


@pytest.mark.parametrize("name", ["told", "alone"])
def test_a_plan_is_found_with_labels_and_without(
    folder: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recipes, "STAGES", (*recipes.STAGES, *STAGES))
    path = folder / f"{name}_plan.yaml"
    stages = """\
  table: {use: made_table, needs: [whole]}
  plan: {use: search, needs: [whole, table], target: {speedup: 1.3}, samples: 48, evaluations: 2}
  fast: {use: train, needs: [whole], epochs: 0, methods: [{use: prune, plan: plan, samples: 48}]}
"""
    path.write_text((folder / f"{name}.yaml").read_text() + stages)
    done = jpqd("run", path, "--runs", folder / "runs")
    assert done.exit_code == 0, done.output
    plan = compression_plan.load(folder / "runs" / name / "plan")
    assert plan.metric == ("ndcg_10" if name == "told" else "spearman")
    assert plan.speedup >= 1.3
    model = tiny.manifest(folder / "runs", "fast", name)["metrics"]["model"]
    assert [tuple(layer) for layer in model["layers"]] == list(plan.chosen.layers)
