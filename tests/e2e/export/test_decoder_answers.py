"""What a decoder's IR writes, says in a talk, and answers to questions."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from optimum.intel import OVModelForCausalLM
from safetensors.numpy import load_file
from tokenizers import Tokenizer, decoders, models
from transformers import AutoTokenizer
from typer.testing import CliRunner

from cli import app
from export.decoder.writer import Writer, pieces
from jpqd.core import artifact
from jpqd.core import room as positions
from jpqd.data import corpus
from tests.helpers.decoder_run import BASE, HEAD, INT8, figures, logits, run


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
