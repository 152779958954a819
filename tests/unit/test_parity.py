"""Answers of an IR that count as its model's: the same, and those that it gives when nudged."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from export import check, parity
from export.parity import Reference
from export.rows import Rows
from export.shapes import Shape
from jpqd import tasks
from jpqd.core.errors import RunError
from jpqd.scores.predictions import Predictions
from jpqd.tasks.reranking import Reranking
from tests.helpers import small

COUNT = 16


@pytest.fixture
def network() -> PreTrainedModel:
    """A model that cannot decide between the classes of its first row."""
    made = small.model()
    row = {"input_ids": torch.tensor([_ids(0)]), "attention_mask": torch.ones(1, 12)}
    first, second = small.logits(made, row)[0]
    made.classifier.bias.data += torch.tensor([second - first, 0.0])
    return made


@pytest.fixture
def reference(network: PreTrainedModel) -> Reference:
    words = Tokenizer(WordLevel({"[PAD]": 0, "[UNK]": 1}, unk_token="[UNK]"))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, pad_token="[PAD]")
    rows = Rows(
        texts=[[f"text {row}" for row in range(COUNT)]],
        tokens=[{"input_ids": _ids(row), "attention_mask": [1] * 12} for row in range(COUNT)],
        tokenizer=tokenizer,
        kind=tasks.of_network(network),
        labels=[0] * COUNT,
    )
    return Reference(network, rows, Shape())


def _ids(row: int) -> list[int]:
    ids: list[int] = small.batch(COUNT)["input_ids"][row].tolist()
    return [number or 5 for number in ids]


def turned(answers: Predictions, rows: list[int]) -> Predictions:
    """The same answers, of which some rows have the other class."""
    logits = answers.logits.copy()
    logits[rows] = logits[rows, ::-1]
    return replace(answers, logits=logits)


def test_a_row_that_tips_over_in_pytorch_too_is_no_difference(reference: Reference) -> None:
    found = parity.judged(reference, turned(reference.answers, [0]), 0.995, rounds=True)
    assert (found.facts()["same"], found.facts()["undecided"]) == (15 / 16, 1)
    assert "15 of 16 rows get the same prediction, and 1 get one that the model" in found.summary()
    found.require(reference.rows, "ir")


def test_a_row_that_does_not_is_one(reference: Reference) -> None:
    found = parity.judged(reference, turned(reference.answers, [0, 3]), 0.995, rounds=True)
    assert found.facts()["undecided"] == 1
    with pytest.raises(RunError, match=r"ir differs from its model.*\n    row 3 of ") as told:
        found.require(reference.rows, "ir")
    assert str(told.value).count("    row ") == 1  # and none that agrees


def test_a_model_that_does_not_round_gets_no_grace(reference: Reference) -> None:
    found = parity.judged(reference, turned(reference.answers, [0]), 1.0, rounds=False)
    assert found.nudged == ()
    with pytest.raises(RunError, match="15 of 16 rows get the same prediction; logits"):
        found.require(reference.rows, "ir")


def test_an_ir_that_answers_the_same_is_not_asked_again(reference: Reference) -> None:
    answers, asked = reference.answers, []
    reference.network.register_forward_hook(lambda *_: asked.append(1))
    found = parity.judged(reference, answers, 0.995, rounds=True)
    assert found.nudged == ()
    assert found.holds
    assert asked == []


def test_an_answer_that_is_no_number_is_none(reference: Reference) -> None:
    logits = np.full_like(reference.answers.logits, np.nan)
    broken = replace(reference.answers, logits=logits)
    found = parity.judged(reference, broken, 0.995, rounds=True)
    with pytest.raises(RunError, match=r"\n    row \d+ of .*IR \[nan, nan\]"):
        found.require(reference.rows, "ir")


def test_a_nudge_leaves_the_model_as_it_was(reference: Reference) -> None:
    before = reference.answers.logits
    nudged = [answers.logits for answers in reference.nudged()]
    assert all((logits != before).any() for logits in nudged)
    again = Reference(reference.network, reference.rows, Shape()).answers.logits
    np.testing.assert_array_equal(again, before)
    assert np.abs(np.stack(nudged) - before).max() < 1e-2


def test_a_model_is_asked_of_many_rows_at_once(reference: Reference) -> None:
    asked: list[int] = []
    reference.network.register_forward_hook(lambda *_: asked.append(1))
    rows = reference.rows
    lengths = [2 + place % 11 for place in range(6 * COUNT)]
    tokens = [
        {"input_ids": one["input_ids"][:length], "attention_mask": [1] * length}
        for one, length in zip(rows.tokens * 6, lengths, strict=True)
    ]
    more = replace(rows, tokens=tokens, labels=rows.labels * 6)
    many = Reference(reference.network, more, Shape()).answers
    assert len(asked) == 3  # of 32
    alone = check.answers(check.pytorch(reference.network, more, Shape()), more, Shape(batch=1))
    np.testing.assert_allclose(many.logits, alone.logits, atol=1e-5)


def test_rows_of_train_stand_beside_a_reranker_s_own(reference: Reference) -> None:
    """A reported row has the recipe's model's answer behind its label; a row of train has none."""
    kept = [np.array([1.0, 7.0, 0.25])] * COUNT
    reported = replace(reference.rows, kind=Reranking(), labels=kept)
    train = replace(reported, labels=[[0.0, 8.0]] * COUNT, split="train")
    wider = Reference(reference.network, reported.joined(train), Shape())
    assert wider.answers.labels.tolist() == [[1.0, 7.0]] * COUNT + [[0.0, 8.0]] * COUNT
