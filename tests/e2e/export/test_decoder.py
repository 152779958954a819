"""Decoders: trained, exported with their cache, compressed, opened elsewhere, told apart."""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
import pytest
import torch
from openvino import opset13
from optimum.intel import OVModelForCausalLM
from safetensors.numpy import load_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer
from typer.testing import CliRunner

from cli import app
from export import origin
from export.decoder import ask, ir, room, weights
from export.decoder.writer import Writer, pieces
from export.stages.compress_weights import CompressWeights
from jpqd.core import artifact
from jpqd.core import room as positions
from jpqd.core.errors import SourceError, UserError
from jpqd.core.progress import Progress
from jpqd.data import corpus
from jpqd.recipe import recipes
from jpqd.recipe.task import build
from jpqd.run import runner
from tests.helpers import small

HEAD = """\
model: {new: qwen3, hidden_size: 32, num_hidden_layers: 2, num_attention_heads: 2,
        intermediate_size: 64, vocab_size: 400}
task: {name: reviews, use: causal_lm, dataset: "builtin:reviews", max_length: 32, train_rows: 200,
       report_on: part, holdout: 0.02, select_on: 0.02}
seed: 1
stages:
"""
BASE = """\
  base: {use: train, epochs: 3, batch_size: 8, learning_rate: 1.0e-2, precision: f32}
  f32: {use: ov_ir, needs: [base]}
"""
INT8 = "  int8: {use: compress_weights, needs: [f32]}\n"
FOUR = "  four: {{use: compress_weights, needs: [f32], {}}}\n"
RTN = "format: int4, group_size: 32, method: rtn"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with a trained decoder, its IR and an INT8 one."""
    found = tmp_path_factory.mktemp("decoder")
    run(found, INT8)
    return found


def run(folder: Path, stages: str, head: str = HEAD + BASE) -> Path:
    path = folder / "lm.yaml"
    path.write_text(head + stages)
    runner.execute(recipes.load(path), folder / "runs", Progress(quiet=True))
    return folder / "runs" / "lm"


def figures(run: Path, stage: str, split: str = "part") -> dict[str, Any]:
    found: dict[str, Any] = artifact.open_sealed(run / stage).manifest.splits[split]
    return found


def logits(folder: Path, ids: list[int]) -> torch.Tensor:
    model = OVModelForCausalLM.from_pretrained(folder, ov_config=dict(ask.ACCURATE))
    found: torch.Tensor = model(torch.tensor([ids]), attention_mask=torch.ones(1, len(ids))).logits
    return found[0]


def test_an_ir_says_and_writes_what_its_model_does(folder: Path) -> None:
    made = folder / "runs" / "lm"
    model = AutoModelForCausalLM.from_pretrained(made / "base", dtype=torch.float32)
    ids = [5, 9, 200, 31, 77]
    with torch.no_grad():
        expected = model(torch.tensor([ids])).logits[0]
    torch.testing.assert_close(logits(made / "f32", ids), expected, atol=1e-4, rtol=0)
    torch.testing.assert_close(
        ask.openvino(made / "f32", ask.ACCURATE)(ids), expected, atol=1e-4, rtol=0
    )
    opened = OVModelForCausalLM.from_pretrained(made / "f32", ov_config=dict(ask.ACCURATE))
    tokenizer = AutoTokenizer.from_pretrained(made / "f32")
    given = tokenizer("The plot was", return_tensors="pt")
    how = {"max_new_tokens": 12, "do_sample": False, "pad_token_id": 0}
    assert opened.generate(**given, **how).tolist() == model.generate(**given, **how).tolist()
    for stage in ("f32", "int8"):
        assert 'models_path: "./"' in (made / stage / "graph.pbtxt").read_text()
    tokens = ov.Core().compile_model(made / "f32" / "openvino_tokenizer.xml", "CPU")
    back = ov.Core().compile_model(made / "f32" / "openvino_detokenizer.xml", "CPU")
    text = "a dull film , a great cast"
    numbers = tokens([text])["input_ids"]
    assert numbers.tolist() == [tokenizer(text)["input_ids"]]
    assert next(iter(back(numbers).values()))[0] == text


def test_training_and_ir_have_the_same_perplexity(folder: Path) -> None:
    made = folder / "runs" / "lm"
    trained, exported = (figures(made, stage) for stage in ("base", "f32"))
    assert exported["perplexity"] == pytest.approx(trained["perplexity"], rel=1e-5)
    assert exported["n"] == trained["n"] > 1000
    low, high = exported["perplexity_95"]
    assert low < exported["perplexity"] < high < 60  # of 400 words
    check = artifact.open_sealed(made / "f32").manifest.metrics["check"]["openvino_model.xml"]
    assert (check["rows"], check["same"]) == (8, 1.0)


CUT = """\
  cut: {use: train, needs: [base], epochs: 0, methods: [{use: prune, keep: 0.4, samples: 64}]}
  learnt:
    use: train
    needs: [cut]
    epochs: 3
    batch_size: 8
    learning_rate: 5.0e-3
    methods: [{use: distill, teacher: base, weight: 1.0, hidden: 0.1}]
  kept:
    use: train
    needs: [cut]
    epochs: 2
    batch_size: 8
    learning_rate: 5.0e-3
    methods: [{use: distill, teacher: base, weight: 1.0, top: 16}]
  small: {use: ov_ir, needs: [learnt]}
"""


def test_a_decoder_is_cut_and_learns_from_what_it_was(folder: Path) -> None:
    made = run(folder, CUT)
    base, cut, learnt, kept, small = (
        figures(made, stage)["log_likelihood"]
        for stage in ("base", "cut", "learnt", "kept", "small")
    )
    assert cut < base and cut < min(learnt, kept)
    assert small == pytest.approx(learnt, abs=1e-3)
    facts = artifact.open_sealed(made / "small").manifest.metrics["model"]
    assert facts["encoder_share"] < 0.42
    refused = folder / "refused.yaml"
    wrong = CUT.replace("hidden: 0.1", "augment: 0.1, variants: 2")
    refused.write_text("name: lm\n" + HEAD + BASE + wrong.replace("learnt", "other"))
    done = CliRunner().invoke(app, ["run", str(refused), "--runs", str(folder / "runs")])
    assert done.exit_code == 2 and "do not fit into memory" in done.stderr


def test_eight_bits_are_a_fourth_and_near(folder: Path) -> None:
    made = folder / "runs" / "lm"
    found = figures(made, "int8")
    assert 0 < found["kl"] < 0.01
    assert found["ratio"] == pytest.approx(1, abs=0.01)
    low, high = found["ratio_95"]
    assert low <= found["ratio"] <= high
    assert found["same_top1"] > 0.95
    assert figures(made, "int8", "part, deployed")["kl"] > 0
    kinds = {op.get_element_type().get_type_name() for op in
             ov.Core().read_model(made / "int8" / "openvino_model.xml").get_ops()
             if op.get_type_name() == "Constant" and op.get_output_size() and
             np.prod(op.shape) > 500}  # fmt: skip
    assert kinds == {"u8"}


def test_an_ir_of_eight_bits_opens_elsewhere(folder: Path) -> None:
    made, ids = folder / "runs" / "lm", [5, 9, 200, 31, 77]
    expected = ask.openvino(made / "int8", ask.ACCURATE)(ids)
    torch.testing.assert_close(logits(made / "int8", ids), expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    "how",
    [
        "format: int4, group_size: 32, method: rtn",
        "format: int4, group_size: 32, samples: 4",
        "format: int4, group_size: 32, method: awq_gptq, sym: true, samples: 4",
        "format: nf4, group_size: 32, method: scale_estimation, samples: 4",
        "format: cb4, group_size: 32, method: awq_se, samples: 4",
        "format: mxfp4",
        "format: int4, group_size: 32, embedding: int4, calibration: TEXTS, samples: 4",
        "format: int4, group_size: 32, ratio: 0.5, metric: mean_activation_magnitude, method: rtn, "
        "samples: 4",
    ],
)
def test_four_bits_are_smaller_and_further(folder: Path, how: str) -> None:
    texts = folder / "texts.txt"
    texts.write_text("a dull film\nthe cast was great\n" * 40)
    made = run(folder, INT8 + FOUR.format(how.replace("TEXTS", str(texts))))
    four, eight = (artifact.open_sealed(made / stage).manifest for stage in ("four", "int8"))
    assert four.metrics["ir"]["openvino_model"] != eight.metrics["ir"]["openvino_model"]
    assert figures(made, "int8")["kl"] < figures(made, "four")["kl"] < 2


def test_a_target_decides_how_much_gets_four_bits(folder: Path) -> None:
    made = run(folder, INT8 + FOUR.format(RTN))
    whole = figures(made, "four")["kl"]
    made = run(folder, INT8 + FOUR.format(f"{RTN}, target: {{kl: {0.5 * whole:.6f}}}"))
    share = artifact.open_sealed(made / "four").manifest.metrics["weights"]["ratio"]
    assert 0 < share < 1
    assert figures(made, "four")["kl"] < whole


def test_a_target_out_of_reach_leaves_eight_bits(folder: Path) -> None:
    made = run(folder, INT8 + FOUR.format(f"{RTN}, target: {{kl: 1.0e-9}}"))
    share = artifact.open_sealed(made / "four").manifest.metrics["weights"]["ratio"]
    assert share == 0
    assert figures(made, "four")["kl"] == pytest.approx(figures(made, "int8")["kl"], rel=0.2)


MISTAKES = {
    "format: int4, method: rtn, calibration: texts.txt": "weights are only rounded",
    "format: int4, method: rtn, samples: 64": "weights are only rounded",
    "group_size: 32": "eight everywhere",
    "format: mxfp4, group_size: 64": "groups of 32",
    "format: mxfp4, method: gptq": "can only be rounded",
    "format: nf4, sym: true": "nf4 has no zero point",
    "format: int4, ratio: 0.5, target: {kl: 0.1}": "Keep one of them",
    "format: int4, target: {}": "either `size_mb` or `kl`",
    "format: int4, metric: hessian_input_activation": "Give ratio, such as 0.8, or target",
    "format: int3": "int4",
}


@pytest.mark.parametrize("how", MISTAKES)
def test_what_fails_late_is_refused_in_the_recipe(folder: Path, how: str) -> None:
    path = folder / "wrong.yaml"
    path.write_text(HEAD + BASE + FOUR.format(how))
    done = CliRunner().invoke(app, ["validate", str(path)])
    assert done.exit_code == 2
    assert MISTAKES[how] in done.output


def test_a_size_out_of_reach_and_a_compressed_ir_are_refused(folder: Path) -> None:
    path = folder / "lm.yaml"
    for stages, told in (
        (FOUR.format(f"{RTN}, target: {{size_mb: 0.01}}"), "cannot be reached"),
        (FOUR.format("format: int4, method: rtn"), "group_size 64 does not divide"),
        (FOUR.format("format: int4").replace("[f32]", "[int8]"), "no IR of a decoder with whole"),
    ):
        path.write_text(HEAD + BASE + INT8 + stages)
        shutil.rmtree(folder / "runs" / "lm" / "four", ignore_errors=True)
        done = CliRunner().invoke(app, ["run", str(path), "--runs", str(folder / "runs")])
        assert (done.exit_code, told in done.stderr) == (2, True), done.stderr
        assert not (folder / "runs" / "lm" / "four").exists()


def test_a_models_folder_is_exported_without_a_copy(folder: Path, tmp_path: Path) -> None:
    model = tmp_path / "model"
    shutil.copytree(folder / "runs" / "lm" / "base", model)
    (model / "manifest.json").unlink()
    head = HEAD.replace(HEAD[: HEAD.index("task:")], f"model: {model}\n")
    made = run(
        tmp_path, "  f32: {use: ov_ir}\n  int8: {use: compress_weights, needs: [f32]}\n", head
    )
    before = figures(folder / "runs" / "lm", "int8")
    assert figures(made, "int8")["perplexity"] == pytest.approx(before["perplexity"], rel=1e-4)
    for command in (["compare", str(made)], ["report", str(made)]):
        assert CliRunner().invoke(app, command).exit_code == 0
    alone = CliRunner().invoke(app, ["export", "--ir", str(model), "--out", str(tmp_path / "ir")])
    assert alone.exit_code == 0, alone.stderr
    assert "the same best token for 100.00%" in alone.stderr


def test_weights_in_many_files_and_a_tokenizer_that_openvino_does_not_know(
    folder: Path, tmp_path: Path
) -> None:
    base, model = folder / "runs" / "lm" / "base", tmp_path / "model"
    network = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    network.save_pretrained(model, max_shard_size="40KB")
    assert len(list(model.glob("model-*.safetensors"))) > 1
    known = AutoTokenizer.from_pretrained(base)
    known.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.UnicodeScripts(), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    known.save_pretrained(model)
    out = tmp_path / "ir"
    done = CliRunner().invoke(app, ["export", "--ir", str(model), "--out", str(out)])
    assert done.exit_code == 0, done.stderr
    assert "its tokenizer cannot be converted to OpenVINO" in done.stderr
    assert "the same best token for 100.00%" in done.stderr
    assert not (out / "openvino_tokenizer.xml").exists()
    done = CliRunner().invoke(app, ["predict", str(out), "The plot", "--new-tokens", "3"])
    assert done.exit_code == 0, done.stderr


@pytest.mark.parametrize(
    ("model", "use", "told"),
    [
        ("{new: bert}", "causal_lm", "a bert reads a text in both directions"),
        ("BASE", "classification", "this is a language model, and the task is another"),
        ("{new: qwen3}", "causal_lm", "has random weights. Train it first"),
    ],
)
def test_a_model_for_another_task_is_refused(
    folder: Path, tmp_path: Path, model: str, use: str, told: str
) -> None:
    path = tmp_path / "other.yaml"
    base = folder / "runs" / "lm" / "base"
    stage = "{use: train, epochs: 0}" if "bert" in model else "{use: ov_ir}"
    path.write_text(
        f"model: {model.replace('BASE', str(base))}\n"
        f'task: {{name: reviews, use: {use}, dataset: "builtin:reviews", max_length: 32}}\n'
        f"stages: {{one: {stage}}}\n"
    )
    done = CliRunner().invoke(app, ["run", str(path), "--runs", str(tmp_path / "runs")])
    assert (done.exit_code, told in done.stderr) == (2, True), done.stderr


def test_an_ir_of_another_model_is_not_written(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = ask.openvino

    def wrong(*given: Any) -> ask.Ask:
        right = answers(*given)
        return lambda ids: right(list(ids)[::-1])

    monkeypatch.setattr(ir.ask, "openvino", wrong)
    base = folder / "runs" / "lm" / "base"
    done = CliRunner().invoke(app, ["export", "--ir", str(base), "--out", str(tmp_path / "ir")])
    assert done.exit_code == 1
    assert "openvino_model.xml differs from its model: perplexity" in done.stderr
    assert not (tmp_path / "ir").exists()


def test_a_model_that_does_not_fit_and_keys_of_encoders(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = str(folder / "runs" / "lm" / "base")
    done = CliRunner().invoke(app, ["export", "--ir", base, "--out", str(tmp_path / "ir"),
                                    "--shape", "static:1,16"])  # fmt: skip
    assert done.exit_code == 2
    assert "shape: for models that classify" in done.stderr
    monkeypatch.setattr(room, "_memory", lambda: 100_000)
    done = CliRunner().invoke(app, ["export", "--ir", base, "--out", str(tmp_path / "ir")])
    assert done.exit_code == 2
    assert "GB of memory, and this machine has" in done.stderr


def test_the_report_and_the_list_show_perplexity(folder: Path) -> None:
    (folder / "rows.csv").write_text("text,label\na film,1\n")
    refused = CliRunner().invoke(app, ["evaluate", str(folder / "runs" / "lm" / "base"),
                                       "--data", str(folder / "rows.csv")])  # fmt: skip
    assert refused.exit_code == 2
    assert "a language model has no answers to rows" in refused.stderr
    runs = str(folder / "runs")
    listed = CliRunner().invoke(app, ["ls", "lm", "--runs", runs])
    assert "perplexity" in listed.stdout
    report = CliRunner().invoke(app, ["report", str(folder / "runs" / "lm")])
    assert report.exit_code == 0, report.stderr
    written = (folder / "runs" / "lm" / "report.md").read_text()
    assert "int8 has a perplexity of" in written
    assert "times that of f32, and a KL of" in written


def test_predict_writes_on_as_others_do(folder: Path) -> None:
    made = folder / "runs" / "lm" / "f32"
    texts = ["The plot was", "a dull"]
    done = CliRunner().invoke(app, ["predict", str(made), *texts, "--new-tokens", "8"])
    assert done.exit_code == 0, done.stderr
    model = OVModelForCausalLM.from_pretrained(made)
    tokenizer = AutoTokenizer.from_pretrained(made)
    wanted = []
    for text in texts:
        given = tokenizer(text, return_tensors="pt")
        ids = model.generate(**given, max_new_tokens=8, do_sample=False, pad_token_id=0)[0]
        wanted.append(
            tokenizer.decode(ids[given["input_ids"].shape[1] :], skip_special_tokens=True)
        )
    assert done.stdout == "".join(f"{text}\n" for text in wanted)
    as_json = CliRunner().invoke(
        app, ["predict", str(made), "--new-tokens", "8", "--json"], input="The plot was\n"
    )
    assert json.loads(as_json.stdout) == {"text": texts[0], "continuation": wanted[0]}


def test_a_tokenizer_that_was_saved_with_padding_writes_the_same(
    folder: Path, tmp_path: Path
) -> None:
    made = folder / "runs" / "lm" / "f32"
    padded = shutil.copytree(made, tmp_path / "f32")
    tokenizer = AutoTokenizer.from_pretrained(made)
    tokenizer("a", padding="max_length", max_length=64)
    tokenizer.save_pretrained(padded)
    manifest = artifact.open_sealed(made).manifest.model_dump(mode="json")
    artifact.close(padded, manifest)
    wanted, found = ("".join(Writer(one, 8)("The plot was")) for one in (made, padded))
    assert found == wanted


def test_bytes_that_make_no_letter_cost_no_text() -> None:
    words = ["<unk>", *(f"<0x{byte:02X}>" for byte in range(256)), "\u2581a", "\u2581b"]
    own = Tokenizer(models.BPE({word: n for n, word in enumerate(words)}, [], byte_fallback=True))
    own.decoder = decoders.Sequence(
        [decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse(),
         decoders.Strip(" ", 1, 0)]
    )  # fmt: skip
    of = own.token_to_id
    letter = [of(f"<0x{byte:02X}>") for byte in "ä".encode()]
    assert "".join(pieces(own, [of("\u2581a"), *letter, of("\u2581b")])) == "aä b"
    broken = "".join(pieces(own, [of("\u2581a"), *letter, letter[0], of("\u2581b")]))
    assert broken.startswith("aä") and broken.endswith(" b")
    assert "".join(pieces(own, [of("\u2581a"), *letter, letter[0]])).startswith("aä")
    assert "".join(pieces(own, [of("\u2581a"), letter[0]])) == "a\ufffd"


def test_a_line_that_cannot_be_continued_costs_no_other_line(folder: Path) -> None:
    made, long = folder / "runs" / "lm" / "f32", "plot " * 1000
    given = ["predict", str(made), "--new-tokens", "2"]
    done = CliRunner().invoke(app, given, input=f"The plot was\n{long}\nThe plot was\n")
    assert done.exit_code == 0, done.stderr
    first, between, last = done.stdout.splitlines()
    assert first == last != between == ""
    assert "line 2: a text has" in done.stderr


def test_predict_stays_within_the_models_positions(folder: Path) -> None:
    made = folder / "runs" / "lm" / "f32"
    most = positions.tokens(json.loads((made / "config.json").read_text()))
    assert most
    long = CliRunner().invoke(app, ["predict", str(made), "plot " * (most + 1)])
    assert long.exit_code == 2
    assert f"and the model takes {most:,}. Cut it." in long.stderr
    near = " ".join(["plot"] * ((most - 3) // 4))  # of four tokens each
    done = CliRunner().invoke(app, ["predict", str(made), near, "--new-tokens", "20"])
    assert done.exit_code == 0, done.stderr
    written = Tokenizer.from_file(str(made / "tokenizer.json")).encode(done.stdout).ids
    assert len(written) < 10
    other = CliRunner().invoke(app, ["predict", str(made), "The plot", "--all"])
    assert "--all: for models that classify" in other.stderr


def test_a_talk_needs_a_template_and_knows_what_was_said(folder: Path, tmp_path: Path) -> None:
    made = folder / "runs" / "lm"
    alone = CliRunner().invoke(app, ["predict", str(made / "f32"), "Hello", "--chat"])
    assert alone.exit_code == 2
    assert "has no chat template" in alone.stderr
    model = tmp_path / "model"
    shutil.copytree(made / "base", model)
    (model / "manifest.json").unlink()
    tokenizer = AutoTokenizer.from_pretrained(model)
    tokenizer.chat_template = "{% for m in messages %}{{ m.role }}: {{ m.content }} {% endfor %}"
    tokenizer.save_pretrained(model)
    out = str(tmp_path / "ir")
    assert CliRunner().invoke(app, ["export", "--ir", str(model), "--out", out]).exit_code == 0
    talk = CliRunner().invoke(app, ["predict", out, "one", "two", "--chat", "--new-tokens", "4"])
    assert talk.exit_code == 0, talk.stderr
    first, *_ = talk.stdout.split("\n")
    prompt = f"user: one assistant: {first} user: two "
    plain = CliRunner().invoke(app, ["predict", out, "user: one ", prompt, "--new-tokens", "4"])
    assert plain.stdout == talk.stdout


def test_a_template_that_refuses_a_talk_is_told(folder: Path, tmp_path: Path) -> None:
    made = folder / "runs" / "lm" / "f32"
    copy = shutil.copytree(made, tmp_path / "f32")
    tokenizer = AutoTokenizer.from_pretrained(made)
    tokenizer.chat_template = "{{ raise_exception('a system turn is needed') }}"
    tokenizer.save_pretrained(copy)
    artifact.close(copy, artifact.open_sealed(made).manifest.model_dump(mode="json"))
    done = CliRunner().invoke(app, ["predict", str(copy), "one", "--chat"])
    assert done.exit_code == 2, done.stderr
    assert "refuses this talk: a system turn is needed. Mend the template" in done.stderr


def sum_of_logs(folder: Path, question: str, choice: str) -> float:
    """The log-probability of a choice, by another library."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    prompt = f"Question: {question}\nAnswer:"
    before = [1, *tokenizer(prompt, add_special_tokens=False)["input_ids"]]
    ids = [1, *tokenizer(f"{prompt} {choice}", add_special_tokens=False)["input_ids"]]
    found = logits(folder, ids).double().log_softmax(-1)
    places = range(len(before), len(ids))
    return float(sum(found[place - 1, ids[place]] for place in places))


def test_questions_are_answered_by_what_is_likeliest(folder: Path, tmp_path: Path) -> None:
    """The corpus says `the plot was`, and never these words in another order."""
    file = tmp_path / "questions.jsonl"
    rows = [
        {"question": f"{number}", "choices": [right, wrong], "answer": number % 2}
        for number in range(12)
        for right, wrong in [("the plot was", "was plot the")[:: 1 if number % 2 == 0 else -1]]
    ]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    for stage in ("base", "f32", "int8"):
        shutil.copytree(folder / "runs" / "lm" / stage, tmp_path / "runs" / "lm" / stage)
    stages = f"{INT8}  asked: {{use: questions, needs: [f32, int8], table: {file}}}\n"
    made = run(tmp_path, stages)
    assert figures(made, "asked", "f32, questions")["accuracy"] == 1.0
    found = figures(made, "asked", "int8, questions")
    assert (found["n"], found["accuracy"]) == (12, 1.0)
    assert (found["difference"], found["p"], found["same_answer"]) == (0.0, 1.0, 1.0)
    assert CliRunner().invoke(app, ["report", str(made)]).exit_code == 0
    assert "Multiple choice" in (made / "report.md").read_text()
    scores = load_file(made / "asked" / "questions.safetensors")["f32"]
    for row, given in zip(scores[:3], rows[:3], strict=True):
        alone = [sum_of_logs(made / "f32", given["question"], one) for one in given["choices"]]
        assert row.tolist() == pytest.approx(alone, abs=1e-4)
    file.write_text('{"question": "q", "choices": [3, 4], "answer": 0}\n')
    done = CliRunner().invoke(
        app, ["run", str(tmp_path / "lm.yaml"), "--runs", str(tmp_path / "runs")]
    )
    assert done.exit_code == 2
    assert "row 1 is no question with two or more texts to choose from" in done.stderr


def test_the_harness_finds_the_same_perplexity(folder: Path, tmp_path: Path) -> None:
    model, text, docs = (tmp_path / name for name in ("model", "text.txt", "docs.jsonl"))
    shutil.copytree(folder / "runs" / "lm" / "base", model)
    (model / "manifest.json").unlink()
    said = "\n".join(corpus.reviews("validation")[row][0] for row in range(120))
    text.write_text(said)
    docs.write_text(json.dumps({"page": said}) + "\n")
    task = tmp_path / "own.yaml"
    task.write_text(
        "task: own\ndataset_path: json\n"
        f"dataset_kwargs: {{data_files: {{test: {docs}}}}}\n"
        "output_type: loglikelihood_rolling\ntest_split: test\n"
        'doc_to_text: ""\ndoc_to_target: "{{page}}"\n'
        "metric_list: [{metric: byte_perplexity}]\n"
    )
    head = (
        f"model: {model}\n"
        f"task: {{name: own, use: causal_lm, dataset: {{train: {text}, test: {text}}}, "
        "report_on: test, max_length: 32, begin: context}\nstages:\n"
    )
    stage = f"  harness: {{use: lm_eval, needs: [f32], tasks: [{task}]}}\n"
    made = run(tmp_path, f"  f32: {{use: ov_ir}}\n{stage}", head)
    ours, theirs = figures(made, "f32", "test"), figures(made, "harness", "f32, own")
    by_byte = np.exp(-ours["log_likelihood"] * ours["n"] / len(said.encode()))
    assert by_byte == pytest.approx(theirs["byte_perplexity"], rel=1e-4)
    assert theirs["n"] == 1


def test_a_harness_that_is_not_installed_is_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "lm_eval", None)
    path = folder / "lm.yaml"
    path.write_text(
        HEAD + BASE + "  harness: {use: lm_eval, needs: [f32], tasks: [piqa], limit: 1}\n"
    )
    done = CliRunner().invoke(app, ["run", str(path), "--runs", str(folder / "runs")])
    assert done.exit_code == 2
    assert "Try: pip install 'jpqd[lm_eval]'" in done.stderr


def test_when_a_text_is_over_is_known_after_a_cut(folder: Path, tmp_path: Path) -> None:
    """Chat models end their turns with tokens that only their generation_config.json names."""
    source = shutil.copytree(folder / "runs" / "lm" / "base", tmp_path / "source")
    (source / "manifest.json").unlink()
    ends = {"eos_token_id": [2, 7], "temperature": 0.7}  # transformers would not save the second
    (source / "generation_config.json").write_text(json.dumps(ends))
    head = f"model: {source}\n" + HEAD[HEAD.index("task:") :]
    made = run(
        tmp_path,
        "  cut: {use: train, epochs: 0, methods: [{use: prune, keep: 0.6, samples: 8}]}\n"
        "  again: {use: train, needs: [cut], epochs: 0}\n"
        "  ir: {use: ov_ir, needs: [again]}\n",
        head,
    )
    for stage in ("cut", "again", "ir"):
        found = json.loads((made / stage / "generation_config.json").read_text())
        assert found["eos_token_id"] == [2, 7], stage


@pytest.mark.parametrize("stage", ["{use: ov_ir}", "{use: train, epochs: 1}"])
def test_windows_longer_than_the_model_are_refused(
    folder: Path, tmp_path: Path, stage: str
) -> None:
    source = tmp_path / "model"
    words = AutoTokenizer.from_pretrained(folder / "runs" / "lm" / "base")
    words.model_max_length = int(1e30)  # as many a tokenizer says
    words.save_pretrained(source)
    sizes = {"n_embd": 32, "n_layer": 1, "n_head": 2, "n_positions": 16}
    config = AutoConfig.for_model("gpt2", vocab_size=len(words), **sizes)
    AutoModelForCausalLM.from_config(config).save_pretrained(source)
    head = f"model: {source}\n" + HEAD[HEAD.index("task:") :]
    with pytest.raises(SourceError, match="max_length is 32, and the model takes 16 tokens"):
        run(tmp_path, f"  first: {stage}\n", head)


def test_a_size_that_eight_bits_have_needs_no_four(folder: Path) -> None:
    made = run(folder, INT8 + FOUR.format(f"{RTN}, target: {{size_mb: 50}}"))
    assert artifact.open_sealed(made / "four").manifest.metrics["weights"]["ratio"] == 0.0


@pytest.mark.parametrize(
    ("how", "told"),
    [
        ({"format": "int4", "method": "rtn", "group_size": 32}, "group_size 32 .* smaller power"),
        ({"format": "mxfp4"}, "group_size 32 .* choose another format"),
    ],
)
def test_groups_that_fit_no_layer_are_refused_with_a_way_out(
    how: dict[str, Any], told: str, tmp_path: Path
) -> None:
    given = opset13.parameter([1, 8, 48], np.float32)
    weight = opset13.constant(np.random.default_rng(0).normal(size=(64, 48)).astype(np.float32))
    product = opset13.matmul(given, weight, False, True)
    narrow = opset13.matmul(product, opset13.constant(np.ones((64, 64), np.float32)), False, True)
    ov.save_model(ov.Model([narrow], [given]), tmp_path / "openvino_model.xml")
    stage = CompressWeights(use="compress_weights", needs=("f32",), **how)
    work = weights._Work(stage, small.training(tmp_path).ctx, tmp_path, None)  # type: ignore[arg-type]
    with pytest.raises(UserError, match=told):
        work.compress(None, tmp_path / "out")


def test_windows_of_a_file_begin_as_those_of_train_do(folder: Path, tmp_path: Path) -> None:
    text = tmp_path / "some.txt"
    text.write_text("\n".join(words for words, _ in corpus.reviews("train")[:40]))
    made = folder / "runs" / "lm"
    stage = CompressWeights(use="compress_weights", needs=("f32",), format="int4",
                            calibration=(str(text),))  # fmt: skip
    tokenizer = AutoTokenizer.from_pretrained(made / "f32")
    tokenizer.bos_token = tokenizer.eos_token
    ctx = small.training(tmp_path).ctx
    ctx = replace(ctx, task=build({"name": "r", "use": "causal_lm", "dataset": "builtin:reviews",
                                   "max_length": 16}))  # fmt: skip
    found = weights._Work(stage, ctx, made / "f32", tokenizer)._of_files()
    assert len(found) > 3
    assert {window[0] for window in found} == {tokenizer.bos_token_id}
    assert all(len(window) <= 16 for window in found)


def test_a_stage_of_a_run_without_training_is_found_by_its_name(folder: Path) -> None:
    source = folder / "runs" / "lm" / "base"
    head = f"model: {source}\n" + HEAD[HEAD.index("task:") :]
    path = folder / "only.yaml"
    path.write_text(head + "  f32: {use: ov_ir}\n")
    runner.execute(recipes.load(path), folder / "runs", Progress(quiet=True))
    assert origin.find(folder / "runs", "f32", "only").folder.name == "f32"
