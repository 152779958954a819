"""`jpqd export --ir` and `jpqd predict`: what lies there, who opens it, and what it says."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import sysconfig
from codecs import BOM_UTF8
from pathlib import Path

import openvino as ov
import openvino_tokenizers  # noqa: F401 - its operations, for an IR that takes texts
import pytest
from safetensors.numpy import load_file
from tokenizers import Tokenizer
from transformers import AutoTokenizer

from export import card, rows
from export.names import FUSED, MODEL
from export.shapes import Shape
from jpqd import tasks
from jpqd.core import artifact
from tests.helpers import tiny
from tests.helpers.export_place import REVIEWS, jpqd, manifest, other_data

SEALED = Path(__file__).parents[2] / "data" / "v01" / "sealed" / "jpqd_ir"


def test_a_stage_of_a_recipe_is_sealed_with_the_figures_of_what_it_exported(trained: Path) -> None:
    runs = trained / "runs"
    ir, stage = manifest(runs / "tiny" / "ir"), manifest(runs / "tiny" / "jpqd")
    assert ir["metrics"]["validation"]["n"] == 64
    assert ir["metrics"]["validation"]["pytorch"] == stage["metrics"]["validation"]
    check = ir["metrics"]["check"][MODEL]
    assert (check["rows"], check["same"]) == (64, 1.0)
    assert any("8" in precision for precision in check["matmuls"])
    assert ir["metrics"]["model"] == stage["metrics"]["model"]
    again = jpqd("run", trained / "tiny.yaml", "--runs", runs)
    assert again.stderr.count("sealed already") == 4
    assert jpqd("verify", "tiny", "--runs", runs).exit_code == 0


def test_without_a_name_the_last_trained_stage_of_the_newest_run_is_exported(runs: Path) -> None:
    done = jpqd("export", "--ir", "--runs", runs, "--json")
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    folder = runs.resolve() / "tiny" / "jpqd_ir"
    assert told["folder"] == str(folder)
    sealed = artifact.read(folder)
    assert sealed
    assert list(artifact.damage(folder, sealed.files)) == []
    assert set(told["files"]) >= {
        "README.md", "config.json", "openvino_config.json", "openvino_model.bin", MODEL,
        "openvino_tokenizer.xml", "structure.json", "tokenizer.json",
    }  # fmt: skip
    assert re.search(r"^jpqd_ir +ov_ir ", jpqd("ls", "tiny", "--runs", runs).stdout, re.MULTILINE)

    refused = jpqd("export", "--runs", runs)
    assert refused.exit_code == 2
    assert "jpqd_ir exists. Replace it with --force" in refused.stderr
    again = jpqd(
        "export", "--runs", runs, "--force", "--precision", "f16", "--shape", "static:1,16"
    )
    assert again.exit_code == 0, again.stderr
    assert str(ov.Core().read_model(folder / MODEL).input("input_ids").shape) == "[1,16]"


def test_a_large_split_is_compared_on_a_sample_and_answered_whole(
    runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows, "SMALL", 40)
    monkeypatch.setattr(rows, "SAMPLE", 16)
    done = jpqd("export", "--ir", "--runs", runs)
    assert done.exit_code == 0, done.output
    folder = runs / "tiny" / "jpqd_ir"
    metrics = manifest(folder)["metrics"]
    assert (metrics["check"][MODEL]["rows"], metrics["validation"]["pytorch"]["n"]) == (16, 16)
    stage = manifest(runs / "tiny" / "jpqd")["metrics"]["validation"]
    assert {**metrics["validation"], "pytorch": None} == {**stage, "pytorch": None}
    assert (
        "| | this IR | the PyTorch model on 16 of these rows |"
        in (folder / "README.md").read_text()
    )


def test_an_ir_is_compared_on_the_rows_of_its_model(runs: Path) -> None:
    assert jpqd("export", "--ir", "--runs", runs).exit_code == 0
    found = json.loads(jpqd("compare", "tiny", "--runs", runs, "--json").stdout)
    rows = {stage["stage"]: stage for stage in found["stages"]}
    assert rows["jpqd_ir"]["n"] == 64
    assert rows["jpqd_ir"]["difference"] == rows["jpqd"]["difference"]


def test_the_card_says_what_was_measured_and_its_snippet_runs(exported: Path) -> None:
    card = (exported / "README.md").read_text()
    accuracy = manifest(exported)["metrics"]["validation"]["accuracy"]
    assert f"| accuracy | {accuracy:.4f} | {accuracy:.4f} |" in card
    assert "n = 64" in card
    assert "of the encoder's weights are left" in card
    assert str(exported.parent) not in card  # nobody's folders
    (snippet,) = re.findall(r"```python\n(.*?)```", card, re.DOTALL)
    done = subprocess.run(
        [sys.executable, "-c", snippet], cwd=exported, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    (answer,) = json.loads(done.stdout.replace("'", '"'))
    assert answer["label"] in {"0", "1"}


def test_benchmark_app_runs_it(exported: Path) -> None:
    app_path = Path(sysconfig.get_path("scripts")) / "benchmark_app"
    names = ("input_ids", "attention_mask", "token_type_ids")
    shapes = ",".join(f"{name}[1,16]" for name in names)
    done = subprocess.run(
        [app_path, "-m", exported / MODEL, "-d", "CPU", "-niter", "4", "-data_shape", shapes],
        capture_output=True, text=True, env=tiny.environment(),
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert "Throughput" in done.stdout


def test_predictions_are_those_of_the_stage(trained: Path, exported: Path) -> None:
    told = jpqd("predict", exported, *REVIEWS, "--json")
    assert told.exit_code == 0, told.output
    answers = [json.loads(line) for line in told.stdout.splitlines()]
    logits = load_file(trained / "runs" / "tiny" / "jpqd" / "predictions.safetensors")["logits"]
    assert [answer["label"] for answer in answers] == [str(row.argmax()) for row in logits[:5]]
    assert all(0.5 <= answer["probability"] <= 1 for answer in answers)
    lines = jpqd("predict", exported, text="\n".join([*REVIEWS, ""]))
    assert [line.split("\t")[0] for line in lines.stdout.splitlines()] == [
        answer["label"] for answer in answers
    ]
    fused = ov.compile_model(exported / FUSED, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    assert [str(row.argmax()) for row in fused({0: REVIEWS})["logits"]] == [
        answer["label"] for answer in answers
    ]


def test_a_text_is_cut_at_the_side_that_the_tokenizer_cuts(trained: Path, tmp_path: Path) -> None:
    model = shutil.copytree(trained / "runs" / "tiny" / "teacher", tmp_path / "model")
    (model / "manifest.json").unlink()
    settings = model / "tokenizer_config.json"
    settings.write_text(json.dumps({**json.loads(settings.read_text()), "truncation_side": "left"}))
    done = jpqd("export", "--ir", model, "--shape", "static:1,16", "--out", tmp_path / "ir")
    assert done.exit_code == 0, done.output
    end, long = " ".join(REVIEWS[:3]), "a dull film " * 20
    texts = (f"{long}{end}", f"{'the plot ' * 20}{end}", f"{end} {long}")
    told = [jpqd("predict", tmp_path / "ir", text, "--json").stdout for text in texts]
    answers = [json.loads(one) for one in told]
    ids = Tokenizer.from_file(str(tmp_path / "ir" / "tokenizer.json")).encode(end).ids
    assert len(ids) >= 16, "or the beginning is read too"
    first, same, other = (answer["probability"] for answer in answers)
    assert first == same != other


def test_random_texts_are_cut_only_where_the_ir_cuts_them(trained: Path) -> None:
    folder = trained / "runs" / "tiny" / "teacher"
    tokenizer, kind = AutoTokenizer.from_pretrained(folder), tasks.of_folder(folder)
    made = rows.at_random(tokenizer, kind, 512, Shape())
    (texts,) = made.texts
    whole = tokenizer(texts, truncation=True, max_length=512)["input_ids"]
    assert [row["input_ids"] for row in made.tokens] == whole


def test_the_card_of_a_hub_names_no_folder_of_this_machine() -> None:
    files = ["d/a.txt", "C:\\data\\b.txt", "runs/sst2/c"]
    stage = {"use": "train", "methods": [{"teacher": "/home/ann/models/x", "texts": files}]}
    recipe = {"model": "owner/name", "task": {"dataset": "owner/data"}, "stages": {"one": stage}}
    (method,) = card._public(recipe)["stages"]["one"]["methods"]
    assert method == {"teacher": "x", "texts": ["a.txt", "b.txt", "c"]}


def test_predict_imports_neither_torch_nor_transformers(exported: Path) -> None:
    script = (
        "import sys; sys.argv = ['jpqd', 'predict', sys.argv[1], 'a film']\n"
        "from cli import app\n"
        "try:\n    app()\n"
        "except SystemExit as end:\n"
        "    assert not end.code\n"
        "assert not {'torch', 'transformers'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", script, str(exported)], check=True)


def test_a_regression_of_two_texts(tmp_path: Path) -> None:
    rows = [f"alpha {i % 7}\tbeta {i % 5}\t{(i % 7 + i % 5) / 2}" for i in range(120)]
    settings = ("task.text=[one, two]", "task.label=score")
    folder = other_data(tmp_path, ["one\ttwo\tscore", *rows], *settings)
    assert manifest(folder)["metrics"]["validation"].keys() >= {"pearson", "mse", "pytorch"}
    fused = ov.compile_model(folder / FUSED, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    assert [port.get_any_name() for port in fused.inputs] == ["text", "text_pair"]
    (expected,) = fused({"text": ["alpha 3"], "text_pair": ["beta 1"]})["logits"][0]
    told = json.loads(jpqd("predict", folder, "alpha 3", "beta 1", "--json").stdout)
    assert told["value"] == pytest.approx(float(expected), abs=0.05)
    assert told["text"] == ["alpha 3", "beta 1"]
    assert jpqd("predict", folder, text="alpha 3\tbeta 1\n").stdout.endswith("alpha 3 / beta 1\n")
    assert "two texts at a time" in jpqd("predict", folder, "alone").stderr
    assert "a tab between" in jpqd("predict", folder, text="alone\n").stderr


def test_six_classes_with_names(tmp_path: Path) -> None:
    rows = [f"text number {i} of class {i % 6}\tclass {i % 6}" for i in range(120)]
    folder = other_data(tmp_path, ["text\tlabel", *rows])
    told = json.loads(jpqd("predict", folder, "text number 3 of class 3", "--json").stdout)
    assert told["label"] in {f"class {i}" for i in range(6)}
    assert "matthews" in (folder / "README.md").read_text()


def test_every_line_has_its_answer(exported: Path) -> None:
    given = f"{REVIEWS[0]}\n\n{REVIEWS[1]}\n"
    answers = [json.loads(line) for line in
               jpqd("predict", exported, "--json", text=given).stdout.splitlines()]  # fmt: skip
    assert [answer["text"] for answer in answers] == [REVIEWS[0], "", REVIEWS[1]]


def test_a_line_that_is_not_utf_8_costs_no_other_line(exported: Path, tmp_path: Path) -> None:
    (tmp_path / "texts.txt").write_bytes(BOM_UTF8 + b"good\r\n\xff\xfe bad\nfine\n")
    done = jpqd("predict", exported, "--file", tmp_path / "texts.txt", "--json")
    assert done.exit_code == 0
    texts = [json.loads(line)["text"] for line in done.stdout.splitlines()]
    assert texts == ["good", "\ufffd\ufffd bad", "fine"]
    assert "line 2 is not UTF-8" in done.stderr and "line 1" not in done.stderr


def test_a_stage_is_named_and_every_label_has_its_probability(runs: Path) -> None:
    where = ("--runs", runs)
    told = json.loads(jpqd("predict", "ir", REVIEWS[0], "--json", *where).stdout)
    shares = told["probabilities"]
    assert abs(sum(shares.values()) - 1) < 1e-5
    assert told["probability"] == shares[told["label"]] == max(shares.values())
    line = jpqd("predict", "ir", REVIEWS[0], "--all", *where).stdout
    first, second = sorted(shares, key=lambda label: -shares[label])
    assert line.startswith(f"{first} {shares[first]:.4f}, {second} {shares[second]:.4f}\t")


def test_predict_names_what_it_was_not_given(exported: Path) -> None:
    done = jpqd("predict", exported, "--file", "nothing.txt")
    assert done.exit_code == 2 and "--file nothing.txt cannot be read" in done.stderr
    both = jpqd("predict", exported, "a text", "--file", "nothing.txt")
    assert both.exit_code == 2 and "texts are given beside it" in both.stderr


def test_a_fused_ir_of_any_length_is_compared_on_whole_texts(tmp_path: Path) -> None:
    """Texts are longer than the 16 tokens of training, and the IR takes them whole."""
    given = [f"{'good bad ' * (5 + number)}\t{number % 2}" for number in range(40)]
    other_data(tmp_path, ["text\tlabel", *given], "task.max_length=16")
    how = ("--shape", "dynamic", "--runs", tmp_path / "runs", "--out", tmp_path / "any")
    done = jpqd("export", "--ir", "--fuse-tokenizer", *how)
    assert done.exit_code == 0, done.output
    assert manifest(tmp_path / "any")["metrics"]["check"][FUSED]["largest_difference"] < 1e-6


def test_a_folder_without_a_recipe_is_asked_pairs_where_a_person_says_so(
    trained: Path, tmp_path: Path
) -> None:
    stage = trained / "runs" / "tiny" / "teacher"
    folder = tmp_path / "bare"
    shutil.copytree(stage, folder, ignore=shutil.ignore_patterns("manifest.json"))
    done = jpqd("export", folder, "--pairs", "--fuse-tokenizer", "--runs", tmp_path)
    assert done.exit_code == 0, done.output
    fused = ov.compile_model(tmp_path / "bare_ir" / FUSED, "CPU")
    assert [port.get_any_name() for port in fused.inputs] == ["text", "text_pair"]
    (told,) = jpqd("predict", tmp_path / "bare_ir", *REVIEWS[:2], "--json").stdout.splitlines()
    assert json.loads(told)["text"] == REVIEWS[:2]
    refused = jpqd("export", stage, "--pairs", "--out", tmp_path / "other")
    assert refused.exit_code == 2
    assert "--pairs: the task of a run says" in refused.stderr


def test_an_argument_that_is_not_utf_8_is_answered_and_named() -> None:
    done = jpqd("predict", SEALED, "a caf\udce9", "a film", "--json")
    assert done.exit_code == 0, done.output
    assert [json.loads(line)["text"] for line in done.stdout.splitlines()] == ["a caf�", "a film"]
    assert "text 1 is not UTF-8" in done.stderr and "text 2" not in done.stderr
