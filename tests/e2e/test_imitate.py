"""A model writes, another one learns it: from a stage, or from a table of someone else's."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file
from typer.testing import CliRunner

from cli import app
from jpqd.core import artifact
from jpqd.core.errors import DataError, UserError
from jpqd.core.progress import Progress
from jpqd.data import completions, corpus
from jpqd.data.completions import Text
from jpqd.model import loading
from jpqd.recipe import recipes
from jpqd.recipe.task import build
from jpqd.run import runner
from jpqd.stages.imitate import Imitate
from jpqd.training import imitating
from tests.helpers import small

HEAD = """\
model: {new: qwen3, hidden_size: 32, num_hidden_layers: 2, num_attention_heads: 4,
        intermediate_size: 64, vocab_size: 400}
task: {name: r, use: causal_lm, dataset: "builtin:reviews", max_length: 32, train_rows: 200,
       report_on: part, holdout: 0.02, select_on: 0.02}
stages:
  whole: {use: train, epochs: 1, batch_size: 8, learning_rate: 1.0e-2}
"""
TOLD = (
    "  told: {use: imitate, needs: [whole], prompts: PROMPTS, new_tokens: 12, temperature: 1.0}\n"
)
LEARNT = """\
  learnt: {use: train, needs: [whole], completions: told, epochs: 16, batch_size: 8,
           learning_rate: 1.0e-2, precision: f32}
"""


def run(folder: Path, text: str, name: str = "im") -> Path:
    prompts = folder / "prompts.txt"
    starts = [" ".join(text.split()[:3]) for text, _ in corpus.reviews("train")[:40]]
    prompts.write_text("\n".join(starts))
    path = folder / f"{name}.yaml"
    path.write_text(text.replace("PROMPTS", str(prompts)))
    runner.execute(recipes.load(path), folder / "runs", Progress(quiet=True))
    return folder / "runs" / name


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run(tmp_path_factory.mktemp("im"), HEAD + TOLD)


def test_every_prompt_is_accounted_for(made: Path) -> None:
    counts = artifact.open_sealed(made / "told").manifest.metrics["written"]
    assert counts["asked"] == 40
    assert counts["kept"] == len(completions.read(made / "told" / "completions.jsonl"))
    assert counts["asked"] == sum(count for name, count in counts.items() if name != "asked")


def test_a_long_prompt_costs_no_other_ones_text(made: Path, tmp_path: Path) -> None:
    tokenizer = loading.tokenizer_from(made / "whole")
    long = next(
        text
        for words in range(1, 40)
        if len(tokenizer(text := " ".join(["plot"] * words))["input_ids"]) > 25
    )
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("\n".join(["The plot", long, "The soup", "The room"]))
    stage = Imitate.model_validate(
        {"use": "imitate", "needs": ["whole"], "prompts": str(prompts), "new_tokens": 12}
    )
    task = build({"name": "r", "use": "causal_lm", "dataset": "builtin:reviews", "max_length": 32})
    ctx = replace(small.training(tmp_path).ctx, task=task, work=tmp_path / "work",
                  inputs={"whole": made / "whole"})  # fmt: skip
    texts, left_out = imitating._written(stage, ctx, tokenizer)
    assert not left_out
    assert [text.prompt for text in texts] == ["The plot", "The soup", "The room", long]
    counts = [len(tokenizer(text.completion)["input_ids"]) for text in texts if not text.ended]
    assert all(count > 7 for count in counts[:-1]), counts
    assert counts[-1] <= 7, counts


def test_a_killed_stage_goes_on_with_the_text_after(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, asked = imitating._continued, []

    def die(prompts: list[str], *rest: object) -> list[Text]:
        asked.append(len(prompts))
        if len(asked) == 2:
            half = completions.lines([Text(prompts[0], "half of a batch")])
            with next(tmp_path.rglob("completions.jsonl")).open("a") as file:
                file.write(half)
            raise KeyboardInterrupt
        return write(prompts, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(imitating, "_continued", die)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, HEAD + TOLD)
    again = run(tmp_path, HEAD + TOLD)
    assert asked == [16, 16, 16, 8], "the first sixteen are written once"
    texts = [(folder / "told" / "completions.jsonl").read_text() for folder in (made, again)]
    assert texts[0] == texts[1]


def test_a_model_learns_the_table_of_someone_else(tmp_path: Path) -> None:
    told = {"prompt": "The plot was", "completion": " a waste of the time that it took to see it"}
    rows = [told | {"prompt": f"{told['prompt']} {number}"} for number in range(66)]
    rows += [
        {"prompt": "Empty", "completion": " "},
        rows[0],
        {"prompt": "Short", "completion": "a"},
    ]
    table = tmp_path / "theirs.jsonl"
    table.write_text("".join(json.dumps(row) + "\n" for row in rows))
    made = run(tmp_path, HEAD + f"  told: {{use: imitate, table: {table}}}\n" + LEARNT)
    counts = artifact.open_sealed(made / "told").manifest.metrics["written"]
    assert counts == {
        "asked": 69,
        "kept": 66,
        "long": 0,
        "empty": 1,
        "short": 1,
        "circling": 0,
        "double": 1,
    }
    network, tokenizer = loading.load(made / "learnt"), loading.tokenizer_from(made / "learnt")
    stage = Imitate(use="imitate", needs=("a",), prompts="a.txt", new_tokens=40)
    (found,) = imitating._continued(["The plot was 7"], network, tokenizer, stage, 64)
    assert found == Text("The plot was 7", told["completion"]), "and it stops where the text ends"


def test_every_token_counts_alike_however_a_step_is_parted(tmp_path: Path) -> None:
    long = " a waste of the time that it took to see it"
    rows = [{"prompt": f"The plot {number}", "completion": " was" + long * (number % 3)}
            for number in range(66)]  # fmt: skip
    table = tmp_path / "theirs.jsonl"
    table.write_text("".join(json.dumps(row) + "\n" for row in rows))
    stages = f"  told: {{use: imitate, table: {table}, least: 1}}\n" + LEARNT
    text = HEAD + stages.replace("epochs: 16", "epochs: 1, micro_batch: MICRO")
    whole, ones = (
        load_file(run(tmp_path, text.replace("MICRO", micro), name) / "learnt/model.safetensors")
        for name, micro in (("im", "8"), ("ones", "1"))
    )
    for name, weight in whole.items():
        np.testing.assert_allclose(ones[name], weight, atol=2e-3)


def test_only_what_was_written_is_learnt(made: Path) -> None:
    tokenizer = loading.tokenizer_from(made / "whole")
    task = build({"name": "r", "use": "causal_lm", "dataset": "builtin:reviews", "max_length": 8})
    row = completions._row(Text("The plot", " was thin"), task, tokenizer)
    assert row is not None
    ids, labels = row
    before = tokenizer("The plot")["input_ids"]
    assert ids[: len(before)] == before
    assert labels[: len(before) - 1] == [-100] * (len(before) - 1)
    assert labels[len(before) - 1 : -1] == ids[len(before) :], "each learns the next one"
    assert labels[-1] == tokenizer.eos_token_id
    cut = completions._row(Text("The plot", " was thin", ended=False), task, tokenizer)
    assert cut is not None and cut[1] == labels[:-1], "a text that was cut off teaches no end"
    assert completions._row(Text("The plot " * 8, " was thin"), task, tokenizer) is None


def test_texts_of_one_prompt_stay_together_and_every_text_is_counted(made: Path) -> None:
    tokenizer = loading.tokenizer_from(made / "whole")
    task = build({"name": "r", "use": "causal_lm", "dataset": "builtin:reviews", "max_length": 12})
    texts = [Text(f"Film {number % 20}", f" was {number}") for number in range(40)]
    parts, left_out = completions._shared([*texts, Text("Film " * 12, " a")], task, tokenizer)
    assert [len(rows) for rows in parts.values()] == [38, 2] and left_out == 1


def test_a_file_holds_any_letter(tmp_path: Path) -> None:
    texts = [Text("a\u2028b", "c\x85\nd", ended=False), Text("e", "f")]
    completions.write(tmp_path / "t.jsonl", texts)
    with (tmp_path / "t.jsonl").open("a") as file:
        file.write('{"prompt": "cut by a ki')
    assert completions.read(tmp_path / "t.jsonl") == texts


def test_it_runs_in_one_process(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    task = build({"name": "r", "use": "causal_lm", "dataset": "builtin:reviews"})
    with pytest.raises(UserError, match="without torchrun"):
        imitating._refuse_unfit(replace(small.training().ctx, task=task))


def test_circles_are_left_out(made: Path) -> None:
    tokenizer = loading.tokenizer_from(made / "whole")
    texts = [Text("a", " it was good" * 12), Text("a", " it was good, and the rest was not so bad")]
    kept, why = completions.clean(texts, 4, tokenizer)
    assert kept == texts[1:] and why["circling"] == 1


@pytest.mark.parametrize(
    ("stage", "told"),
    [
        ("{use: imitate, needs: [whole]}", "Give `needs` and `prompts`, or a table"),
        ("{use: imitate, needs: [whole], prompts: a.txt, table: b.csv}", "one or the other"),
        ("{use: imitate, table: b.csv, temperature: 1.0}", "a table is written"),
        ("{use: imitate, table: b.txt}", "is no table"),
        ("{use: imitate, needs: [whole], prompts: a.csv}", "is no file of texts"),
        ("{use: imitate, needs: [whole], prompts: a.txt, new_tokens: 4}", "is above new_tokens"),
        ("{use: train, needs: [whole], completions: whole}", "makes no texts"),
    ],
)
def test_mistakes(stage: str, told: str, tmp_path: Path) -> None:
    path = tmp_path / "im.yaml"
    path.write_text(HEAD + f"  wrong: {stage}\n")
    done = CliRunner().invoke(app, ["plan", str(path), "--runs", str(tmp_path / "runs")])
    assert done.exit_code == 2 and told in done.stderr.replace("\n", " ")


def test_a_table_without_the_columns_is_refused(tmp_path: Path) -> None:
    table = tmp_path / "theirs.csv"
    table.write_text("prompt,answer\nThe plot,was thin\n")
    with pytest.raises(DataError, match="no column 'completion'"):
        run(tmp_path, HEAD + f"  told: {{use: imitate, table: {table}}}\n")


def test_a_models_own_settings_do_not_change_how_it_writes(made: Path) -> None:
    """Settings of chat models punish what was said before, or leave out unlikely words."""
    model = loading.load(made / "whole")
    tokenizer = loading.tokenizer_from(made / "whole")
    stage = Imitate(use="imitate", needs=("whole",), prompts="p.txt", new_tokens=16)

    def written() -> list[str]:
        found = imitating._continued(["The plot was"], model, tokenizer, stage, 32)
        return [text.completion for text in found]

    plain = written()
    model.generation_config.repetition_penalty = 50.0
    assert written() == plain
