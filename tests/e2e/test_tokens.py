"""Token classification through the whole product: run, compare, export, bench, report, predict."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file
from transformers import AutoTokenizer, pipeline
from typer.testing import CliRunner

from cli import app
from jpqd.core.progress import Progress
from jpqd.recipe import recipes
from jpqd.run import analyzing, runner
from tests.e2e.test_processes import torchrun
from tests.helpers import tagged, tiny

RECIPE = """\
model: {new: bert, hidden_size: 32, num_hidden_layers: 2, num_attention_heads: 2,
        intermediate_size: 64, vocab_size: 300}
task: {use: token_classification, name: names, dataset: DATA, max_length: 32}
seed: 3
stages:
  teacher: {use: train, epochs: 12, batch_size: 16, learning_rate: 4.0e-3, precision: f32}
  ptq: {use: train, needs: [teacher], epochs: 0, methods: [{use: quantize, samples: 16}]}
  jpqd:
    use: train
    needs: [teacher]
    epochs: 4
    batch_size: 16
    learning_rate: 2.0e-3
    precision: f32
    methods:
      - {use: prune, keep: 0.6, round_ffn_to: 4}
      - {use: quantize, samples: 16}
      - {use: distill, teacher: teacher}
  inside:
    use: train
    needs: [teacher]
    epochs: 0.5
    batch_size: 16
    precision: f32
    methods: [{use: distill, teacher: teacher, hidden: 1.0, attention: 1.0, augment: 0.1}]
  check: {use: evaluate, needs: [jpqd], split: select}
  jpqd_ir: {use: ov_ir, needs: [jpqd]}
"""
TEXT = "Carla Rossi lives in Oslo ."


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tokens")
    data = tagged.write(folder / "data")
    path = folder / "names.yaml"
    path.write_text(RECIPE.replace("DATA", str(data)))
    runner.execute(recipes.load(path), folder / "runs", Progress(quiet=True))
    return folder / "runs"


def figures(runs: Path, stage: str) -> dict[str, Any]:
    found: dict[str, Any] = tiny.manifest(runs, stage, "names")["metrics"]
    return found


PARTS = (
    RECIPE[: RECIPE.index("stages:")]
    + """\
stages:
  teacher: {use: train, epochs: 1, batch_size: 16, learning_rate: 4.0e-3, precision: f32,
            dropout: 0.0}
  small: {use: train, epochs: 1, batch_size: 16, learning_rate: 4.0e-3, precision: f32,
          dropout: 0.0,
          methods: [{use: distill, teacher: teacher, weight: 0.5, hidden: 1.0, augment: AUGMENT}]}
"""
)


def test_parts_of_a_step_train_what_the_whole_step_does(tmp_path: Path) -> None:
    """Rows have different numbers of words, and one word is nothing to the tokenizer."""
    data = tagged.write(tmp_path / "data", train=96)
    nothing = json.dumps({"tokens": ["\u200b"], "tags": ["O"]}) + "\n"
    with (data / "train.jsonl").open("a") as file:
        file.write(nothing * 16)
    path = tmp_path / "names.yaml"
    path.write_text(PARTS.replace("DATA", str(data)).replace("AUGMENT", "0.0"))
    ones = [f"stages.{stage}.micro_batch=1" for stage in ("teacher", "small")]
    for name, more in (("whole", ()), ("ones", ones)):
        runner.execute(recipes.load(path, more), tmp_path / name, Progress(quiet=True))
    done = torchrun(path, tmp_path / "two")
    assert done.returncode == 0, done.stderr
    for stage in ("teacher", "small"):
        whole, *others = (
            load_file(tmp_path / name / "names" / stage / "predictions.safetensors")["logits"]
            for name in ("whole", "ones", "two")
        )
        for one in others:
            np.testing.assert_allclose(one, whole, atol=5e-4)
    path.write_text(path.read_text().replace("augment: 0.0", "augment: 0.3"))
    runner.execute(recipes.load(path, ones), tmp_path / "ones", Progress(quiet=True))


def test_names_are_learnt_and_kept_when_the_model_is_made_small(runs: Path) -> None:
    teacher = figures(runs, "teacher")["validation"]
    assert teacher["n"] == 48 and teacher["f1"] > 0.95
    for stage in ("ptq", "jpqd", "inside"):
        assert figures(runs, stage)["validation"]["f1"] > 0.9
    assert figures(runs, "jpqd")["model"]["encoder_share"] < 0.65
    assert figures(runs, "teacher")["data"]["task"] == "token_classification"


def test_the_ir_answers_for_each_word_as_the_model_does(runs: Path) -> None:
    check = figures(runs, "jpqd_ir")["check"]["openvino_model.xml"]
    assert check["rows"] == 48 and check["answers"] == figures(runs, "jpqd")["validation"]["words"]
    assert check["same"] >= 0.995
    assert any("8" in precision for precision in check["matmuls"])


def test_stages_are_compared_by_entities(runs: Path) -> None:
    done = tiny.run("compare", "names", "--runs", runs, "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["metric"] == "f1"
    rows = {row["stage"]: row for row in found["stages"]}
    assert rows["jpqd"]["agreement"] > 0.9 and rows["jpqd"]["divergence"] > 0
    low, high = rows["jpqd"]["difference"][1:]
    assert low <= rows["jpqd"]["difference"][0] <= high
    assert "f1 %" in tiny.run("compare", "names", "--runs", runs).stdout


def test_predict_names_entities_with_their_places(runs: Path) -> None:
    folder = runs / "names" / "jpqd_ir"
    done = tiny.run("predict", folder, TEXT, "--json")
    assert done.returncode == 0, done.stderr
    entities = json.loads(done.stdout)["entities"]
    found = {(e["type"], TEXT[e["start"] : e["end"]]) for e in entities}
    assert found == {("person", "Carla Rossi"), ("place", "Oslo")}
    assert "person 'Carla Rossi' 0-11" in tiny.run("predict", folder, TEXT).stdout


def test_a_stage_and_its_ir_are_measured_on_a_file(runs: Path) -> None:
    for stage in ("jpqd", "jpqd_ir"):
        data = runs.parent / "data" / "validation.conll"
        done = tiny.run("evaluate", stage, "--data", data, "--runs", runs, "--json")
        assert done.returncode == 0, done.stderr
        found, sealed = json.loads(done.stdout)["figures"], figures(runs, stage)["validation"]
        assert found["f1"] == pytest.approx(sealed["f1"], abs=0.02)
        assert found["entities"] == sealed["entities"] and len(found["f1_95"]) == 2


def test_optimum_and_a_pipeline_read_what_was_exported(runs: Path) -> None:
    from optimum.intel import OVModelForTokenClassification

    folder = str(runs / "names" / "jpqd_ir")
    model = OVModelForTokenClassification.from_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tag = pipeline("token-classification", model=model, tokenizer=tokenizer,
                   aggregation_strategy="first")  # fmt: skip
    assert {entity["entity_group"] for entity in tag(TEXT)} == {"person", "place"}
    card = (Path(folder) / "README.md").read_text()
    assert "OVModelForTokenClassification" in card and "pipeline_tag: token-classification" in card


def test_benchmark_and_report_speak_of_f1(runs: Path) -> None:
    done = tiny.run(
        "bench", "names", "--runs", runs, "--accuracy", "--seconds", "2", "--blocks", "4",
        "--threads", "1", "--mode", "latency", timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    bench = json.loads((runs / "names" / "bench" / "bench.json").read_text())
    found = {arm["name"]: arm["accuracy"] for arm in bench["arms"]}
    assert found["jpqd_ir"]["metric"] == "f1" and found["jpqd_ir"]["n"] == 48
    known = figures(runs, "teacher")["validation"]["f1"]
    assert found["teacher:f32"]["value"] == pytest.approx(known)
    assert tiny.run("report", "names", "--runs", runs).returncode == 0
    page = (runs / "names" / "report.md").read_text()
    assert "f1, %" in page


def test_a_fused_tokenizer_is_refused_with_the_reason(runs: Path) -> None:
    done = tiny.run("export", "teacher", "--runs", runs, "--fuse-tokenizer")
    assert done.returncode == 2
    assert "answers for pieces of words" in done.stderr


def test_a_table_of_predictions_is_refused_with_the_reason(runs: Path, tmp_path: Path) -> None:
    table = tmp_path / "p.csv"
    table.write_text("O\n1\n")
    recipe = tmp_path / "names.yaml"
    head = RECIPE[: RECIPE.index("stages:")].replace("DATA", str(runs.parent / "data"))
    stage = f"{{use: train, methods: [{{use: distill, predictions: {table}}}]}}"
    recipe.write_text(f"{head}stages:\n  one: {stage}\n")
    done = tiny.run("run", recipe, "--runs", tmp_path / "runs")
    assert done.returncode == 2
    assert "a table has one answer a row" in done.stderr


def test_every_analysis_of_tokens(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(analyzing, "_WIDTHS", ((40, 1.0),))
    done = CliRunner().invoke(app, ["analyze", "names", "--runs", str(runs), "--minutes", "5"])
    assert done.exit_code == 0, done.output
    robust = figures(runs, "robustness")["robustness"]
    assert list(robust) == ["teacher", "ptq", "inside", "jpqd_ir"]
    assert robust["teacher"]["clean"]["f1"] > robust["teacher"]["noise 20%"]["f1"]
    assert "ece" not in robust["teacher"]["clean"]  # a text has many answers
    bits = figures(runs, "bit_widths")["bit_widths"]
    assert bits["metric"] == "f1"
    assert not any("refused" in each for each in bits["variants"])
    cells = figures(runs, "sensitivity")["sensitivity"]["cells"]
    eight, two = (
        max(cell["divergence"] for cell in cells if cell.get("bits") == bits) for bits in (8, 2)
    )
    assert eight < two
    assert "At every number of bits: bit_widths" in (runs / "names" / "report.html").read_text()
