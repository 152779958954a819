"""Words with tags: which data is of this kind, what a model learns of it, what it answers."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from datasets import ClassLabel, Dataset, Features, List, Value

from jpqd import tasks
from jpqd.core.errors import DataError
from jpqd.core.progress import Progress
from jpqd.data import batching, conll, splits, tables
from jpqd.methods.distill.known import KnownAnswers
from jpqd.scores import predictions
from jpqd.tasks._tokens import SILENT
from jpqd.tasks.token_classification import _WORD, TokenClassification
from tests.helpers import data_fixtures, tagged
from tests.helpers.data_fixtures import task, write

KIND = TokenClassification(("O", "B-x", "I-x"), ("O", "B-x", "I-x"))
TAGGED = {"text": ("tokens",), "label": "tags"}


def table(rows: list[Any], **features: Any) -> Dataset:
    found = {"tokens": [["w"] * len(row) for row in rows], "tags": rows}
    wanted = Features({"tokens": List(Value("string")), **features}) if features else None
    return Dataset.from_dict(found, features=wanted)


def test_lists_of_tags_are_found_without_being_asked_for() -> None:
    found = tasks.of_data(task(Path("/d"), **TAGGED), table([["O", "B-x"], ["I-x", "O"]]))
    assert (found.use, found.names) == ("token_classification", ("O", "B-x", "I-x"))


def test_tags_that_the_data_declares_are_used() -> None:
    declared = table([[0, 1], [2]], tags=List(ClassLabel(names=["O", "B-x", "I-x"])))
    found = tasks.of_data(task(Path("/d"), **TAGGED), declared)
    assert found.names == ("O", "B-x", "I-x")
    settings = task(Path("/d"), **TAGGED)
    assert found.label(settings, {"tokens": ["a", "b"], "tags": [2, 0]}) == [2, 0]


@pytest.mark.parametrize(
    ("words", "tags"),
    [(["a"], ["O", "O"]), ([], []), (["a"], ["B-other"]), (None, ["O"]), (["a"], None)],
)
def test_a_row_that_does_not_fit_is_not_used(words: Any, tags: Any) -> None:
    assert KIND.label(task(Path("/d"), **TAGGED), {"tokens": words, "tags": tags}) is None


def test_texts_for_tags_are_refused() -> None:
    train = Dataset.from_dict({"text": ["a b"], "label": ["O O"]})
    with pytest.raises(DataError, match="holds no lists of tags"):
        tasks.of_data(task(Path("/d"), use="token_classification"), train)


def test_the_first_piece_of_a_word_has_its_tag(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    write(folder / "train.conll", "goodfilm\tB-x\nbad\tO\n\nfilm\tI-x\n\n" * 20)
    tokenizer = data_fixtures.tokenizer("##film")
    settings = task(folder, **TAGGED, max_length=4)
    found = splits.prepare(settings, tokenizer, tmp_path / "cache", Progress(quiet=True))
    rows = {tuple(row["input_ids"]): row["labels"] for row in found.splits["train"]}
    names = {name: number for number, name in enumerate(found.kind.names)}
    words = dict(tokenizer.get_vocab())
    cut = (words["[CLS]"], words["good"], words["##film"], words["[SEP]"])  # `bad` is beyond
    assert rows[cut] == [SILENT, names["B-x"], SILENT, SILENT]
    assert [SILENT, names["I-x"], SILENT] in rows.values()


def test_batches_hold_answers_for_words_only() -> None:
    labels = torch.from_numpy(KIND.pad([[SILENT, 1, SILENT], [SILENT, 0, 2, SILENT]], 5))
    assert labels.shape == (2, 5)
    logits = torch.arange(2 * 5 * 3.0).view(2, 5, 3)
    answers = KIND.answers(logits, labels)
    assert answers.tolist() == [logits[0, 1].tolist(), logits[1, 1].tolist(), logits[1, 2].tolist()]
    assert KIND.targets(labels).tolist() == [1, 0, 2]


def test_a_teacher_that_answered_once_is_asked_row_by_row() -> None:
    """Rows of the data in any order, each with as many answers as it has words."""
    logits = np.arange(12, dtype=np.float32).reshape(6, 2)
    known = KnownAnswers(logits, np.array([4, 4, 0, 7, 7, 7]))
    asked = known.of_rows(torch.tensor([7, 0, 4]))
    assert asked.tolist() == [*logits[3:].tolist(), logits[2].tolist(), *logits[:2].tolist()]


def test_figures_are_of_entities() -> None:
    truth = np.array([1, 2, 0, 1, 0, 0])
    guess = np.array([1, 2, 0, 0, 0, 1])
    found = predictions.Predictions(np.eye(3)[guess], truth, np.array([0, 0, 0, 1, 1, 2]))
    figures = KIND.score(found)
    assert (figures["n"], figures["entities"], figures["words"]) == (3, 2, 6)
    assert (figures["precision"], figures["recall"], figures["f1"]) == (0.5, 0.5, 0.5)
    assert next(name for name in figures if name != "n") == "f1"
    other = predictions.Predictions(np.eye(3)[truth], truth, found.rows)
    compared = KIND.compare([other], [found])
    assert compared["difference"][0] == 0.5
    assert compared["agreement"] == pytest.approx(4 / 6)


def test_predictions_of_words_come_back_from_disk(tmp_path: Path) -> None:
    made = predictions.Predictions(np.ones((3, 3), np.float32), np.arange(3), np.array([0, 0, 1]))
    predictions.save(tmp_path / "p.safetensors", made, KIND.facts())
    found, facts = predictions.load(tmp_path / "p.safetensors")
    assert tasks.of_facts(facts) == KIND
    assert found.rows.tolist() == [0, 0, 1] and found.count == 2


def test_an_answer_says_where_entities_stand_in_the_text() -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers

    text = "Meet Anna Lee, here."
    core = Tokenizer(models.WordLevel({}, unk_token="."))
    words = KIND.given((text,), core)
    assert words == ["Meet", "Anna", "Lee", ",", "here", "."]
    core = Tokenizer(models.WordLevel({word: n for n, word in enumerate(words)}, unk_token="."))
    core.pre_tokenizer = pre_tokenizers.Whitespace()
    encoding = core.encode(words, is_pretokenized=True)
    logits = np.eye(3)[[0, 1, 2, 0, 0, 0]] * 20
    answer = KIND.answer((text,), encoding, logits)
    (entity,) = answer["entities"]
    assert (entity["type"], entity["text"]) == ("x", "Anna Lee")
    assert text[entity["start"] : entity["end"]] == "Anna Lee"
    assert "x 'Anna Lee' 5-13" in KIND.line(answer)


def test_words_have_the_spaces_that_their_tokenizer_reads() -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers

    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    assert KIND.given(("Anna is here",), core) == ["Anna", " is", " here"]
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    assert KIND.given(("Anna is here",), core) == ["Anna", "is", "here"]


def test_conll_files_are_words_and_tags(tmp_path: Path) -> None:
    content = "-DOCSTART- -X- O\n\n# id 7\nIt PRP O\nrains VB B-x\n\n\n# # I-x\n"
    found = conll.read(write(tmp_path / "a.conll", content))
    assert found["tokens"] == [["It", "rains"], ["#"]]
    assert found["tags"] == [["O", "B-x"], ["I-x"]]


@pytest.mark.parametrize(
    ("content", "problem"),
    [("a O\nb\n", "line 2: 1 columns"), ("a\n", "line 1: 1 columns"), ("\n", "no rows")],
)
def test_a_conll_file_that_is_none_is_refused(tmp_path: Path, content: str, problem: str) -> None:
    with pytest.raises(DataError, match=problem):
        tables.read(write(tmp_path / "a.conll", content), tmp_path)


def test_a_collator_pads_labels_with_silence() -> None:
    tokenizer = data_fixtures.tokenizer()
    collate = batching.collator(tokenizer, KIND)
    labels = [[SILENT, 1, SILENT], [SILENT, 0, 2, SILENT]]
    tokens = [[2, 5, 3], [2, 5, 6, 3]]
    rows = [{"input_ids": tokens[n], "labels": labels[n], "row": n} for n in range(2)]
    assert collate(rows)["labels"].tolist() == [[-100, 1, -100, -100], [-100, 0, 2, -100]]


def test_the_made_sentences_are_of_this_kind() -> None:
    assert {tag for row in tagged.rows(50) for tag in row["tags"]} > {"B-person", "I-place"}


def test_comments_between_tabs_are_no_words(tmp_path: Path) -> None:
    text = "# sent_id = 1\n1\tgood\tA\tO\n\n# sent_id = 2\n1\tJo\tN\tB-x\n2\t#\tP\tO\n"
    found = conll.read(write(tmp_path / "a.conll", text))
    assert found["tags"] == [["O"], ["B-x", "O"]]


def test_only_a_plain_space_parts_a_word_from_its_tag(tmp_path: Path) -> None:
    text = "1\u00a0000 O\nJean\u202fPaul  B-x \r\n\u3000 O\n"
    found = conll.read(write(tmp_path / "a.conll", text))
    assert found["tokens"] == [["1\u00a0000", "Jean\u202fPaul", "\u3000"]]
    assert found["tags"] == [["O", "B-x", "O"]]


def test_the_recipe_renames_declared_tags_but_not_their_count() -> None:
    declared = table([[1]], tags=List(ClassLabel(names=["X0", "X1"])))
    found = tasks.of_data(task(Path("/d"), **TAGGED, labels=("O", "B-x")), declared)
    assert found.names == ("O", "B-x")
    with pytest.raises(DataError, match="has 2 tags"):
        tasks.of_data(task(Path("/d"), **TAGGED, labels=("O", "B-x", "I-x")), declared)


def test_tags_of_parts_of_speech_are_refused() -> None:
    with pytest.raises(DataError, match=r"NOUN.*mark no entities"):
        tasks.of_data(task(Path("/d"), **TAGGED), table([["NOUN", "VERB"], ["NOUN", "DET"]]))


def test_letters_that_stand_without_spaces_are_words_of_their_own() -> None:
    assert _WORD.findall("\u5317\u4eac OK, it's C++") == [
        "\u5317", "\u4eac", "OK", ",", "it's", "C", "+", "+"
    ]  # fmt: skip
