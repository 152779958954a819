"""`use: bit_widths`: one model at every number of bits, on disk and at work."""

from __future__ import annotations

from dataclasses import dataclass
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
from jpqd.core.errors import UserError
from jpqd.core.progress import Progress
from jpqd.model import loading
from jpqd.recipe import recipes
from jpqd.recipe.task import NewModel, Task
from jpqd.report.page import widths
from jpqd.run import runner
from jpqd.tasks.regression import Regression
from runtime_bench.job.workload import Truth
from runtime_bench.measure.worker import Worker
from runtime_bench.widths import make, measure, storage, variants
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


@dataclass
class Done:
    """A run that was killed once while answers were asked for, and then run to its end."""

    run: Path
    built: list[list[str]]
    """The IRs that were built before the kill, and after it."""
    asked: list[int]
    """The rows that were answered by then."""


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Done:
    folder = tmp_path_factory.mktemp("widths")
    built: list[list[str]] = [[]]
    asked = [0]
    made, ask = variants.Factory._made, Worker.ask

    def counted(factory: Any, variant: Any) -> Any:
        built[-1].append(variant.ir)
        return made(factory, variant)

    def dies(worker: Worker, name: str, *arguments: Any) -> Any:
        asked[-1] += name == "logits"
        if asked[0] == 3:
            asked.append(0)
            built.append([])
            raise KeyboardInterrupt
        return ask(worker, name, *arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(variants.Factory, "_made", counted)
        patch.setattr(Worker, "ask", dies)
        with pytest.raises(KeyboardInterrupt):
            run(folder)
        asked[0] = 2
        return Done(run(folder), built, asked)


def found(run: Path) -> dict[str, Any]:
    made: dict[str, Any] = artifact.open_sealed(run / "bits").manifest.metrics["bit_widths"]
    return made


def test_fewer_bits_take_less_room_and_answer_less_alike(done: Done) -> None:
    made = found(done.run)
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
    assert by_name["int4 weights, g64"]["runs_as"].startswith("u4 weights, ")


def test_the_bytes_of_parts_are_those_of_the_files(done: Done) -> None:
    made = found(done.run)
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


def test_a_kill_keeps_what_was_built_and_answered(done: Done) -> None:
    assert done.built[0] == ["f32", "bf16", "f16"]
    assert len(done.built[1]) == len(NAMES) - 1 - 3  # two share an IR
    assert done.asked == [2, len(NAMES) - 2]


def test_what_does_not_run_costs_its_row(tmp_path: Path) -> None:
    class Breaks(variants.Factory):
        def __init__(self) -> None:
            self.ctx = small.training(tmp_path).ctx

        def write(self, variant: variants.Variant, place: Path) -> None:
            raise RuntimeError("Exception from somewhere:\nno such type")

    one = variants.every((64,))[-1]
    said = measure.said(one, Breaks(), measure.Asked([], Truth(Regression(), [])), 1)
    assert said == "no such type"
    row = make._row(one, {one.name: said, "f32": said}, None, None)  # type: ignore[arg-type]
    assert row["refused"] == "no such type"
    assert list(widths._row("accuracy", row, 12))[1] == "does not run here: no such type"


def test_the_report_shows_them(done: Done) -> None:
    made = CliRunner().invoke(app, ["report", str(done.run)])
    assert made.exit_code == 0, made.stderr
    page = (done.run / "report.html").read_text()
    assert "At every number of bits: bits" in page
    assert "MB of each part: bits" in page


def test_a_quantized_model_is_refused(done: Done) -> None:
    ptq = "  ptq: {use: train, needs: [teacher], epochs: 0, methods: [{use: quantize}]}\n"
    recipe = RECIPE[: RECIPE.index("  bits")] + ptq + "  more: {use: bit_widths, needs: [ptq]}\n"
    with pytest.raises(UserError, match="quantized already"):
        run(done.run.parent.parent, recipe)
