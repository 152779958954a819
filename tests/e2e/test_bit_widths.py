"""`use: bit_widths`: one model at every number of bits, on disk and at work."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import openvino as ov
import pytest
import torch
from typer.testing import CliRunner

from cli import app
from export import convert
from export.shapes import Shape
from jpqd import tasks
from jpqd.core import artifact
from jpqd.core.bench_result import Estimate, Figures
from jpqd.core.errors import RunError, UserError
from jpqd.core.progress import Progress
from jpqd.model import loading
from jpqd.recipe import recipes
from jpqd.recipe.task import NewModel, Task
from jpqd.run import runner
from runtime_bench.measure.worker import Worker
from runtime_bench.widths import make, storage, variants
from tests.helpers import small

RECIPE = """\
model: {new: bert, hidden_size: 64, num_hidden_layers: 1, num_attention_heads: 2,
        intermediate_size: 256, vocab_size: 2000}
task: {name: reviews, dataset: "builtin:reviews", text: [text], label: label,
       labels: [negative, positive], max_length: 24, train_rows: 640}
seed: 1
stages:
  teacher: {use: train, epochs: 3, batch_size: 16, learning_rate: 3.0e-3, precision: f32}
  bits: {use: bit_widths, needs: [teacher], samples: 40, seconds: 1}
"""
NAMES = ["f32", "bf16", "f16", "int8 static", "int8 dynamic", "int8 weights", "int4 weights, g64",
         "int2 weights, g64"]  # fmt: skip


def run(folder: Path, recipe: str = RECIPE) -> Path:
    (folder / "widths.yaml").write_text(recipe)
    runner.execute(recipes.load(folder / "widths.yaml"), folder / "runs", Progress(quiet=True))
    return folder / "runs" / "widths"


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run(tmp_path_factory.mktemp("widths"))


def found(run: Path) -> dict[str, Any]:
    made: dict[str, Any] = artifact.open_sealed(run / "bits").manifest.metrics["bit_widths"]
    return made


def test_fewer_bits_take_less_room_and_answer_less_alike(done: Path) -> None:
    made = found(done)
    by_name = {each["name"]: each for each in made["variants"]}
    assert list(by_name) == NAMES
    assert not any("refused" in each for each in by_name.values())
    assert by_name["f32"]["divergence"] == 0
    eight, four, two = (by_name[name]["divergence"] for name in NAMES[5:])
    assert eight < four < two
    assert by_name["bf16"]["bytes"] < 0.6 * by_name["f32"]["bytes"]
    for name in NAMES[1:]:
        assert by_name[name]["speedup"]["low"] <= by_name[name]["speedup"]["value"]
        assert by_name[name]["peak_mb"] > 10
    assert by_name["int8 static"]["runs_as"].startswith("int8")
    assert by_name["int4 weights, g64"]["runs_as"].startswith("u4 weights, activations in ")


def test_the_bytes_of_parts_are_those_of_the_files(done: Path) -> None:
    made = found(done)
    assert sum(part["weights"] for part in made["parts"]) > 100_000
    for each in made["variants"]:
        stored = sum(part["bytes"][each["name"]] for part in made["parts"])
        assert stored < each["bytes"]


FAMILIES = {name: small.model(name) for name in ("bert", "mpnet")} | {
    "albert": small.of("albert", **small.SIZES, embedding_size=16)
}


@pytest.mark.parametrize("family", FAMILIES)
def test_weights_of_any_family_take_the_bytes_that_are_told(family: str, tmp_path: Path) -> None:
    network = FAMILIES[family]
    for parameter in network.parameters():  # ones that are equal stand in the file once
        parameter.data.add_(0.01 * torch.randn_like(parameter))
    every = variants.every((64,))
    parts = storage.table(network, every)
    task = Task(name="small", dataset="builtin:reviews")
    words = loading.load_tokenizer(NewModel(new="bert", vocab_size=small.WORDS), task, tmp_path)
    graph = convert.convert(network, words, tasks.of_network(network), Shape())
    for one in every:
        if one.ir in ("f32", "int8_static"):
            continue
        made = graph.clone()
        if one.ir == "bf16":
            variants.in_bf16(made)
        elif one.bits < 16:
            made = variants._in_bits(made, one)
        ov.save_model(made, tmp_path / "m.xml", compress_to_fp16=one.ir == "f16")
        told = sum(part["bytes"][one.name] for part in parts)
        assert (tmp_path / "m.bin").stat().st_size == pytest.approx(told, rel=0.15), one.name


def test_gains_are_of_intervals_and_nothing_can_be_kept_of_chance() -> None:
    def gain(name: str, over_whole: float, over_eight: float) -> str:
        one = next(each for each in variants.every((64,)) if each.name == name)
        over = {
            key: Estimate(value=x, low=0.99 * x, high=1.01 * x)
            for key, x in (("f32", over_whole), ("int8 weights", over_eight))
        }
        own = Figures(latency_ms=None, rows_per_second=Estimate(), overhead_us=None, speedup=None,
                      speedup_over=over)  # fmt: skip
        return make._gain(one, own)

    assert gain("bf16", 1.02, 0.5) == "no faster than f32"
    assert gain("bf16", 1.2, 0.5) == "faster"
    assert gain("int4 weights, g64", 1.5, 0.9) == "no faster than 8 bits"
    assert gain("int4 weights, g64", 1.5, 1.2) == "faster"
    assert make._efficiency(4.0, 0.9, 0.9) == pytest.approx(2.0)
    assert make._efficiency(4.0, 0.1, -0.1) is None


def test_a_kill_keeps_what_was_built_and_answered(
    done: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built, asked = [], []
    made, ask = variants.Factory._made, Worker.ask

    def counted(factory: Any, variant: Any) -> Any:
        built.append(variant.ir)
        return made(factory, variant)

    def dies(worker: Worker, name: str, *arguments: Any) -> Any:
        asked.append(name)
        if asked.count("logits") == 3:
            raise KeyboardInterrupt
        return ask(worker, name, *arguments)

    monkeypatch.setattr(variants.Factory, "_made", counted)
    monkeypatch.setattr(Worker, "ask", dies)
    shutil.rmtree(done / "bits")
    with pytest.raises(KeyboardInterrupt):
        run(done.parent.parent)
    assert built == ["f32", "bf16", "f16"]
    asked.clear()

    def refuses(worker: Worker, name: str, *arguments: Any) -> Any:
        asked.append(name)
        if worker.arm.startswith("int2") and name == "load":
            raise RunError("no such type")
        return ask(worker, name, *arguments)

    monkeypatch.setattr(Worker, "ask", refuses)
    again = found(run(done.parent.parent))
    assert len(built) == len(set(built)) == len(NAMES) - 1  # two share an IR
    assert asked.count("logits") == len(NAMES) - 2 - 1
    refused = [each["name"] for each in again["variants"] if "refused" in each]
    assert refused == NAMES[-1:]  # and the others are measured all the same


def test_the_report_shows_them(done: Path) -> None:
    made = CliRunner().invoke(app, ["report", str(done)])
    assert made.exit_code == 0, made.stderr
    page = (done / "report.html").read_text()
    assert "At every number of bits: bits" in page
    assert "MB of each part: bits" in page
    assert "does not run here: no such type" in page


def test_a_quantized_model_is_refused(done: Path) -> None:
    ptq = "  ptq: {use: train, needs: [teacher], epochs: 0, methods: [{use: quantize}]}\n"
    recipe = RECIPE[: RECIPE.index("  bits")] + ptq + "  more: {use: bit_widths, needs: [ptq]}\n"
    with pytest.raises(UserError, match="quantized already"):
        run(done.parent.parent, recipe)
