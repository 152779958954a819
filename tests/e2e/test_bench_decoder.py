"""`jpqd bench` on language models: the first token and the next ones, the same in every arm."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from cli import app
from jpqd.core import bench_result
from jpqd.core.progress import Progress
from jpqd.recipe import recipes
from jpqd.run import runner
from runtime_bench.backend import Backend
from runtime_bench.backends.eager_writer import EagerWriter
from runtime_bench.backends.openvino_genai import OpenvinoGenai
from runtime_bench.backends.openvino_writer import OpenvinoWriter
from runtime_bench.measure.worker import Inside

RECIPE = """\
model: {new: qwen3, hidden_size: 32, num_hidden_layers: 2, num_attention_heads: 2,
        intermediate_size: 64, vocab_size: 400}
task: {name: reviews, use: causal_lm, dataset: "builtin:reviews", max_length: 32, train_rows: 200,
       report_on: part, holdout: 0.02, select_on: 0.02}
seed: 1
stages:
  base: {use: train, epochs: 2, batch_size: 8, learning_rate: 1.0e-2, precision: f32}
  f32: {use: ov_ir, needs: [base]}
  int8: {use: compress_weights, needs: [f32]}
  bench: {use: bench, needs: [base, f32, int8], length: 16, new_tokens: 5, seconds: 2, blocks: 5}
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bench_decoder")
    (folder / "lm.yaml").write_text(RECIPE)
    runner.execute(recipes.load(folder / "lm.yaml"), folder / "runs", Progress(quiet=True))
    return folder / "runs" / "lm"


def test_first_and_next_tokens_are_measured_apart(run: Path) -> None:
    bench = bench_result.read(run / "bench")
    assert [m.workload for m in bench.measurements] == [
        "first token, prompt of 16", "each of 4 next tokens, prompt of 16",
    ]  # fmt: skip
    assert {m.mode for m in bench.measurements} == {"latency"}
    usual = {"base:f32", "f32", "f32:genai", "int8", "int8:genai"}
    assert usual <= set(bench.measurements[0].arms)
    for measured in bench.measurements:
        for figures in measured.arms.values():
            assert figures.latency_ms and figures.latency_ms.p50.value
    assert bench.arm("int8").precision.startswith("int8")
    accuracy = bench.arm("int8:genai").accuracy
    assert accuracy and (accuracy.metric, accuracy.split) == (
        "log_likelihood",
        "part, deployed",
    )
    assert bench.asked.new_tokens == 5


def session(backend: Backend, ids: list[int], count: int) -> Any:
    inside = Inside(backend)
    inside.load()
    tokens = np.array([ids], np.int64)
    inside.prepare([{"input_ids": tokens, "new_tokens": np.array([count])}])
    return inside.session


def test_all_arms_write_the_same(run: Path) -> None:
    ids = [5, 9, 200, 31, 77, 12, 44, 8]
    eager = session(EagerWriter(path=str(run / "base"), threads=1), ids, 6)
    plain = session(OpenvinoWriter(path=str(run / "f32"), threads=1, precision="f32"), ids, 6)
    genai = session(OpenvinoGenai(path=str(run / "f32"), threads=1, precision="f32"), ids, 6)
    written = [one.call(0) for one in (eager, plain, genai)]
    assert written[0] == written[1] == written[2]
    assert len(written[0]) == 6
    for one in (eager, plain, genai):
        one.call(0)
        assert one.first_ns > 0
        assert one.took(one.first_ns + 5_000_000) == 1_000_000


def test_one_token_takes_what_the_request_takes(run: Path) -> None:
    one = session(OpenvinoWriter(path=str(run / "f32"), threads=1), [5, 9, 200], 1)
    assert len(one.call(0)) == 1
    assert one.took(77) == 77


@pytest.mark.parametrize("more", [["--batch", "4"], ["--rate"], ["--accuracy"]])
def test_what_is_for_classifiers_is_refused(run: Path, more: list[str], tmp_path: Path) -> None:
    given = ["bench", str(run), "--arms", "f32", "--out", str(tmp_path / "out"), *more]
    done = CliRunner().invoke(app, given)
    assert done.exit_code == 2
    assert ": for models that classify" in done.stderr


def test_a_prompt_longer_than_the_model_is_refused(run: Path, tmp_path: Path) -> None:
    given = ["bench", str(run), "--arms", "f32", "--out", str(tmp_path / "out")]
    done = CliRunner().invoke(app, [*given, "--length", "2040", "--new-tokens", "20"])
    assert done.exit_code == 2
    assert "the model takes 2048 tokens" in done.stderr
