"""`jpqd init`: what it finds in a file, and that its recipe is one."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from cli import app
from jpqd.data import corpus

MODEL = Path(__file__).parents[1] / "data" / "v01" / "sealed" / "teacher"


def jpqd(*arguments: object) -> Any:
    return CliRunner().invoke(app, [*map(str, arguments)])


@pytest.fixture
def model(tmp_path: Path) -> Path:
    shutil.copytree(MODEL, tmp_path / "model")
    (tmp_path / "model" / "manifest.json").unlink()
    return tmp_path / "model"


def drafted(model: Path, data: Path, text: str, *more: object) -> dict[str, Any]:
    """The recipe for a file with this content, once it was found to be valid."""
    data.write_text(text)
    out = data.with_name("mine.yaml")
    done = jpqd("init", "--model", model, "--data", data, "--out", out, *more)
    assert done.exit_code == 0, done.output
    for command in ("validate", "plan"):
        checked = jpqd(command, out)
        assert checked.exit_code == 0, checked.output
    recipe: dict[str, Any] = yaml.safe_load(out.read_text())
    return {**recipe["task"], "said": done.output, "stages": recipe["stages"]}


def rows(separator: str, head: str) -> str:
    lines = [f"{text}{separator}{label}" for text, label in corpus.reviews("train")[:60]]
    return "\n".join([head.replace(",", separator), *lines])


def test_texts_and_labels_are_found_by_name(model: Path, tmp_path: Path) -> None:
    found = drafted(model, tmp_path / "train.tsv", rows("\t", "review,sentiment"))
    assert (found["use"], found["text"], found["label"]) == (
        "classification", ["review"], "sentiment",
    )  # fmt: skip
    assert found["max_length"] % 16 == 0
    assert list(found["stages"])[-1] == "bench"


def test_they_are_found_by_content(model: Path, tmp_path: Path) -> None:
    found = drafted(model, tmp_path / "train.tsv", rows("\t", "what,how"))
    assert (found["text"], found["label"]) == (["what"], "how")


def test_fractions_are_a_regression_of_pairs(model: Path, tmp_path: Path) -> None:
    lines = [json.dumps({"sentence1": f"a {i}", "sentence2": f"b {i}", "score": i / 7})
             for i in range(40)]  # fmt: skip
    found = drafted(model, tmp_path / "sts.jsonl", "\n".join(lines))
    assert (found["use"], found["text"]) == ("regression", ["sentence1", "sentence2"])
    assert found["name"] == "sts"


_CHAIN = ("Transformer", "Pooling")


def test_an_embedding_model_needs_no_labels(model: Path, tmp_path: Path) -> None:
    modules = [{"type": f"sentence_transformers.models.{name}"} for name in _CHAIN]
    (model / "modules.json").write_text(json.dumps(modules))
    found = drafted(model, tmp_path / "texts.csv", "text\n" + "a good film\n" * 40)
    assert (found["use"], found["text"], "label" in found) == ("embedding", ["text"], False)
    assert next(iter(found["stages"])) == "whole"
    pairs = "sentence1,sentence2,score\n" + "a good film,a bad one,1.5\n" * 40
    found = drafted(model, tmp_path / "pairs.csv", pairs, "--force")
    assert (found["text"], found["label"]) == (["sentence1", "sentence2"], "score")
    assert (
        drafted(model, tmp_path / "classes.tsv", rows("\t", "text,label"), "--force")["use"]
        == "classification"
    ), "a class for each text means more than what the model was made for"


def test_pairs_of_an_embedding_model_may_lack_their_score(model: Path, tmp_path: Path) -> None:
    modules = [{"type": f"sentence_transformers.models.{name}"} for name in _CHAIN]
    (model / "modules.json").write_text(json.dumps(modules))
    some = "sentence1,sentence2,score\n" + "a good film,a bad one,1.5\nfilm,one,\n" * 40
    found = drafted(model, tmp_path / "some.csv", some)
    assert (found["use"], found["label"]) == ("embedding", "score")
    found = drafted(model, tmp_path / "none.csv", some.replace("1.5", ""), "--force")
    assert (found["use"], "label" in found) == ("embedding", False)


def test_tags_of_words_are_a_token_classification(model: Path, tmp_path: Path) -> None:
    text = "Carla B-person\nsings O\n\nBen B-person\nreads O\n"
    found = drafted(model, tmp_path / "ner.conll", text * 20)
    assert (found["use"], found["text"], found["label"]) == (
        "token_classification", ["tokens"], "tags",
    )  # fmt: skip


def test_what_to_look_at_is_said(model: Path, tmp_path: Path) -> None:
    lines = ["text,label", *(f"word {i},a" for i in range(60)), "rare,b", ",a"]
    (tmp_path / "dev.csv").write_text("text,label\nword 3,a\nother,b\n")
    more = ("--validation", tmp_path / "dev.csv")
    said = drafted(model, tmp_path / "train.csv", "\n".join(lines), *more)["said"]
    assert "label 'b' has 1 of 62 rows" in said
    assert "1 of 62 rows have no text" in said
    assert "1 of 2 texts of dev.csv are in train too" in said


def test_no_recipe_is_replaced_unasked(model: Path, tmp_path: Path) -> None:
    drafted(model, tmp_path / "train.tsv", rows("\t", "text,label"))
    again = ("init", "--model", model, "--data", tmp_path / "train.tsv", "--out",
             tmp_path / "mine.yaml")  # fmt: skip
    refused = jpqd(*again)
    assert refused.exit_code == 2 and "--force" in refused.stderr
    assert jpqd(*again, "--force").exit_code == 0


def test_a_folder_is_no_place_for_a_recipe(model: Path, tmp_path: Path) -> None:
    (tmp_path / "train.tsv").write_text(rows("\t", "text,label"))
    given = ("init", "--model", model, "--data", tmp_path / "train.tsv", "--out", tmp_path)
    for more in ((), ("--force",)):
        refused = jpqd(*given, *more)
        assert refused.exit_code == 2
        assert f"is a folder. Name a file: --out {tmp_path}/" in refused.stderr
    below = tmp_path / "train.tsv" / "recipe.yaml"
    refused = jpqd(*given[:-1], below)
    assert refused.exit_code == 2
    assert f"{tmp_path}/train.tsv is no folder. Name another file with --out." in refused.stderr


def test_a_file_without_labels_is_named(model: Path, tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text("a\nb\n")
    done = jpqd("init", "--model", model, "--data", tmp_path / "train.csv")
    assert done.exit_code == 2
    assert "it takes a column of texts and one of labels; there are a" in done.stderr


@pytest.mark.parametrize(
    ("separator", "said"),
    [
        (";", "separated by semicolons. Save it with commas"),
        ("\t", "separated by tabs. Name it .tsv."),
    ],
)
def test_another_separator_is_named(tmp_path: Path, separator: str, said: str) -> None:
    (tmp_path / "train.csv").write_text(rows(separator, "text,label"))
    done = jpqd("init", "--model", "owner/model", "--data", tmp_path / "train.csv")
    assert done.exit_code == 2
    assert said in done.stderr


def test_no_label_leaves_its_comment(model: Path, tmp_path: Path) -> None:
    lines = [f'text {i},"{("a", "b")[i % 2]}\r  x: y\x1b[2J\u2028z"' for i in range(60)]
    found = drafted(model, tmp_path / "\U0001f600.csv", "\n".join(["text,label", *lines]))
    assert found["dataset"]["train"].endswith("/\U0001f600.csv")
    assert found["name"] == "task" and found["label"] == "label"


def test_rows_may_lack_a_column_and_json_may_be_lines(model: Path, tmp_path: Path) -> None:
    lines = [json.dumps({"text": f"word {i}", "label": "ab"[i % 2]}) for i in range(60)]
    found = drafted(model, tmp_path / "some.json", "\n".join([*lines, '{"text": "alone"}']))
    assert (found["text"], found["label"]) == (["text"], "label")
    (tmp_path / "lists.jsonl").write_text('["a", 1]\n')
    done = jpqd(
        "init", "--model", model, "--data", tmp_path / "lists.jsonl", "--out", tmp_path / "x"
    )
    assert done.exit_code == 2 and "row 1 is ['a', 1], and no map of columns" in done.stderr


def test_a_text_of_json_lines_may_hold_what_else_ends_a_line(model: Path, tmp_path: Path) -> None:
    lines = [
        {"text": f"{text}\u2028more", "label": label} for text, label in corpus.reviews("train")
    ]
    content = "\n".join(json.dumps(line, ensure_ascii=False) for line in lines[:60])
    found = drafted(model, tmp_path / "train.json", content)
    assert (found["text"], found["label"]) == (["text"], "label")


def test_the_name_of_a_column_may_have_two_lines(model: Path, tmp_path: Path) -> None:
    lines = [f'"{text}",{label}' for text, label in corpus.reviews("train")[:60]]
    found = drafted(model, tmp_path / "train.csv", "\n".join(['"What they\nwrote",label', *lines]))
    assert found["text"] == ["What they\nwrote"]


def test_texts_are_no_longer_than_the_model_takes(model: Path, tmp_path: Path) -> None:
    path = model / "tokenizer_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "model_max_length": 40}))
    lines = [f"{'word ' * 80}{i},{'ab'[i % 2]}" for i in range(60)]
    found = drafted(model, tmp_path / "long.csv", "\n".join(["text,label", *lines]))
    assert found["max_length"] == 40


def test_what_no_recipe_can_hold_is_named_at_once(tmp_path: Path) -> None:
    (tmp_path / "train.tsv").write_text(rows("\t", "text,label"))
    given = ("--data", tmp_path / "train.tsv", "--out", tmp_path / "new" / "mine.yaml")
    done = jpqd("init", "--model", "no//model", *given, "--name", "a b")
    assert done.exit_code == 2
    assert "task.name: must consist of letters" in done.stderr
    assert "model: is neither a hub id nor a path that exists" in done.stderr


def test_quotes_between_tabs_are_text(model: Path, tmp_path: Path) -> None:
    lines = [f'"film {number}\t{number % 2}' for number in range(60)]
    drafted(model, tmp_path / "train.tsv", "\n".join(["text\tlabel", *lines]))
    assert "60 rows looked at" in (tmp_path / "mine.yaml").read_text()


def test_a_constant_column_is_no_label_and_names_may_be_capitalized(
    model: Path, tmp_path: Path
) -> None:
    lines = [f"word {i},{('good', 'bad')[i % 2]},en" for i in range(60)]
    data = tmp_path / "train.csv"
    found = drafted(model, data, "\n".join(["Text,Sentiment,lang", *lines]))
    assert (found["text"], found["label"]) == (["Text"], "Sentiment")
    found = drafted(model, data, "\n".join(["what,how,lang", *lines]), "--force")
    assert (found["text"], found["label"]) == (["what"], "how")


def test_a_list_beside_a_label_is_left_out_and_a_list_of_labels_is_named(
    model: Path, tmp_path: Path
) -> None:
    row = {"text": "a good film", "label": 1, "keywords": ["film"], "more": []}
    lines = [json.dumps({**row, "label": i % 2}) for i in range(60)]
    found = drafted(model, tmp_path / "train.jsonl", "\n".join(lines))
    assert (found["use"], found["text"], found["label"]) == ("classification", ["text"], "label")
    several = json.dumps({"text": "a good film", "labels": ["good", "film"]})
    (tmp_path / "several.jsonl").write_text("\n".join([several] * 60))
    done = jpqd("init", "--model", model, "--data", tmp_path / "several.jsonl")
    assert done.exit_code == 2
    assert "'labels' holds several labels a text" in done.stderr
