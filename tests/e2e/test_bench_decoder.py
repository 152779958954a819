"""`jpqd bench` on language models: the first token and the next ones, the same in every arm."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer
from typer.testing import CliRunner

from cli import app
from export.decoder import convert
from jpqd import tasks
from jpqd.core import bench_result
from jpqd.core.errors import UserError
from jpqd.core.progress import Progress
from jpqd.recipe import recipes
from jpqd.run import runner
from runtime_bench.backend import Backend
from runtime_bench.backends.eager_writer import EagerWriter
from runtime_bench.backends.llama_cpp import LlamaCpp
from runtime_bench.backends.openvino_genai import OpenvinoGenai
from runtime_bench.backends.openvino_writer import OpenvinoWriter
from runtime_bench.measure.worker import Inside
from tests.helpers import decoder_run, gguf_file

STAGES = """\
  base: {use: train, epochs: 2, batch_size: 8, learning_rate: 1.0e-2, precision: f32}
  f32: {use: ov_ir, needs: [base]}
  int8: {use: compress_weights, needs: [f32]}
  bench: {use: bench, needs: [base, f32, int8], length: 16, new_tokens: 5, seconds: 2, blocks: 5}
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bench_decoder")
    (folder / "lm.yaml").write_text(decoder_run.HEAD + STAGES)
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
    assert "int8" in bench.arm("int8").precision  # beside bf16 where the CPU has AMX
    accuracy = bench.arm("int8:genai").accuracy
    assert accuracy and (accuracy.metric, accuracy.split) == (
        "log_likelihood",
        "part, deployed",
    )
    assert bench.asked.new_tokens == 5


def session(backend: Backend, ids: list[int] | list[list[int]], count: int) -> Any:
    inside = Inside(backend)
    inside.load()
    tokens = np.atleast_2d(np.array(ids, np.int64))
    inside.prepare([{"input_ids": tokens, "new_tokens": np.array([count])}])
    return inside.session


@pytest.fixture(scope="module")
def talker(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with large random weights, whose every token depends on those before it; its IR."""
    folder = tmp_path_factory.mktemp("talker")
    model = AutoModelForCausalLM.from_pretrained(run / "base", dtype=torch.float32).eval()
    torch.manual_seed(0)
    with torch.no_grad():
        for weights in model.parameters():
            weights.normal_(0.0, 0.4) if weights.dim() > 1 else weights.fill_(1.0)
    model.save_pretrained(folder / "model")
    tokenizer = AutoTokenizer.from_pretrained(run / "base")
    convert.write(model, tokenizer, tasks.of_folder(run / "base"), folder / "ir")
    convert.write_tokenizer(tokenizer, folder / "ir", Progress(quiet=True))
    return folder


def writers(talker: Path) -> list[Backend]:
    ir = str(talker / "ir")
    return [
        EagerWriter(path=str(talker / "model"), threads=1),
        OpenvinoWriter(path=ir, threads=1, precision="f32"),
        OpenvinoGenai(path=ir, threads=1, precision="f32"),
    ]


def test_all_arms_write_the_same(talker: Path) -> None:
    ids = [5, 9, 200, 31, 77, 12, 44, 8]
    eager, plain, genai = (session(backend, ids, 6) for backend in writers(talker))
    written = [one.call(0).tolist() for one in (eager, plain, genai)]
    assert written[0] == written[1] == written[2]
    assert len(set(written[0][0])) > 3
    for one in (eager, plain, genai):
        one.call(0)
        assert one.first_ns > 0
        assert one.took(one.first_ns + 5_000_000) == 1_000_000


def test_one_token_takes_what_the_request_takes(run: Path) -> None:
    one = session(OpenvinoWriter(path=str(run / "f32"), threads=1, precision="f32"), [5, 9, 200], 1)
    assert one.call(0).shape == (1, 1)
    assert one.took(77) == 77


PROMPTS = [[5, 9, 200, 31, 77, 12], [300, 44, 8, 13, 250, 61]]


def test_several_prompts_are_written_after_at_once(talker: Path) -> None:
    backends = writers(talker)
    alone = [session(backends[0], ids, 5).call(0)[0].tolist() for ids in PROMPTS]
    assert alone[0] != alone[1]
    for backend in backends:
        assert session(backend, PROMPTS, 5).call(0).tolist() == alone


def test_llama_cpp_writes_the_same(talker: Path, tmp_path: Path) -> None:
    file, prompts = tmp_path / "tiny.gguf", PROMPTS
    gguf_file.write(talker / "model", file)
    wanted = session(writers(talker)[0], prompts, 5).call(0).tolist()
    llama = session(LlamaCpp(path=str(file), threads=1), prompts, 5)
    assert [gguf_file.numbers(text) for text in llama.call(0)] == wanted
    assert llama.first_ns > 0
    assert llama.matmuls() == {"f32": 15}


def test_llama_cpp_that_is_not_there_and_a_file_that_is_none_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "broken.gguf"
    file.write_bytes(b"GGUF and nothing else")
    with pytest.raises(UserError, match="cannot open it"):
        session(LlamaCpp(path=str(file), threads=1), [1, 2], 1)
    monkeypatch.setitem(sys.modules, "xllamacpp", None)
    with pytest.raises(UserError, match=r"pip install 'jpqd\[rivals\]'"):
        session(LlamaCpp(path=str(file), threads=1), [1, 2], 1)


def test_files_of_llama_cpp_stand_beside_irs(run: Path, tmp_path: Path) -> None:
    gguf_file.write(run / "base", tmp_path / "tiny.gguf")
    given = ["bench", str(run / "int8"), str(tmp_path / "tiny.gguf"), "--length", "16", "--json"]
    more = ["--batch", "1,2", "--new-tokens", "3", "--seconds", "2", "--blocks", "5"]
    done = CliRunner().invoke(app, [*given, *more, "--out", str(tmp_path / "out")])
    assert done.exit_code == 0, done.stderr
    bench = bench_result.read(tmp_path / "out")
    assert bench.arm("tiny.gguf").backend == "llama.cpp"
    assert [one.name for one in bench.workloads] == [
        "first token, prompt of 16", "each of 2 next tokens, prompt of 16",
        "first token, 2 prompts of 16", "each of 2 next tokens, 2 prompts of 16",
    ]  # fmt: skip
    for measured in bench.measurements:
        for figures in measured.arms.values():
            assert figures.latency_ms and figures.latency_ms.p50.value


def test_a_file_of_llama_cpp_needs_a_folder_before_it(run: Path, tmp_path: Path) -> None:
    (tmp_path / "m.gguf").write_bytes(b"GGUF")
    done = CliRunner().invoke(app, ["bench", str(tmp_path / "m.gguf"), str(run / "int8")])
    assert done.exit_code == 2
    assert "Give the folder of the same model first" in " ".join(done.stderr.split())


def test_real_prompts_keep_their_lengths(run: Path, tmp_path: Path) -> None:
    texts = tmp_path / "prompts.txt"
    texts.write_text("a good film\nwhat a long and tedious story it was\nbad\n")
    given = ["bench", str(run), "--arms", "f32", "--texts", str(texts), "--seconds", "1"]
    given += ["--blocks", "5", "--new-tokens", "2", "--out", str(tmp_path / "out")]
    done = CliRunner().invoke(app, given)
    assert done.exit_code == 0, done.stderr
    found = bench_result.read(tmp_path / "out").workloads[0]
    assert (found.name, found.length, found.requests) == ("first token, real prompts", None, 3)
    done = CliRunner().invoke(app, [*given, "--batch", "2"])
    assert done.exit_code == 2
    assert "Give --length 128 too" in done.stderr


@pytest.mark.parametrize("more", [["--policy", "buckets"], ["--rate"], ["--accuracy"]])
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
