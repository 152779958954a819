"""The attack that replaces words, on a model that counts good and bad words."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from jpqd.analysis import attack

WORDS = [
    "splendid",
    "wonderful",
    "dreadful",
    "horrible",
    "table",
    "chair",
    "walking",
    "##ing",
    "a1",
]
VECTORS = np.array(
    [
        [1, 0.9],
        [0.95, 0.85],
        [0.9, 1],
        [0.85, 0.95],
        [-1, 0.2],
        [-1, 0.3],
        [1, 0.91],
        [1, 1],
        [1, 1],
    ]
)
KNOWN = attack.substitutes(WORDS, VECTORS)
SCORES = {"splendid": 1.0, "wonderful": 0.5, "dreadful": -1.0, "horrible": -1.0}


def ask(texts: Sequence[str]) -> np.ndarray:
    words = [[word.strip(".,!").lower() for word in text.split()] for text in texts]
    return np.array([0.1 + sum(SCORES.get(word, 0.0) for word in each) for each in words])


def test_substitutes_are_neighbours_of_the_same_form_and_case() -> None:
    assert KNOWN.words == WORDS[:7]
    assert KNOWN.of("splendid")[:2] == ["wonderful", "dreadful"]
    assert "walking" not in KNOWN.of("splendid")
    assert KNOWN.of("Splendid")[0] == "Wonderful"
    assert KNOWN.of("SPLENDID")[0] == "WONDERFUL"
    assert KNOWN.of("the") == KNOWN.of("unheard") == []


def test_pieces_that_go_on_are_no_words() -> None:
    assert attack.whole_words(["good", "##ness", "bad"]) == {"good": 0, "##ness": 1, "bad": 2}
    assert attack.whole_words(["Ġgood", "ness", "good", "Ġbad"]) == {"good": 0, "bad": 3}
    assert attack.whole_words(["▁good", "tion"]) == {"good": 0}


def test_the_word_that_matters_is_replaced_and_nothing_else() -> None:
    found = attack.attack("A splendid table, and a chair.", ask, KNOWN)
    assert found.fooled
    assert found.text in ("A dreadful table, and a chair.", "A horrible table, and a chair.")
    assert found.changed == pytest.approx(1 / 6)
    assert found.queries == 1 + 6 + len(KNOWN.of("splendid"))


def test_a_text_that_is_wrong_already_and_one_without_letters_cost_one_question() -> None:
    wrong = attack.attack("dreadful", ask, KNOWN)
    assert (wrong.fooled, wrong.queries, wrong.changed) == (True, 1, 0.0)
    none = attack.attack("12 ... 34", ask, KNOWN)
    assert (none.fooled, none.queries, none.text) == (False, 1, "12 ... 34")


def test_no_more_words_are_replaced_than_allowed() -> None:
    text = " ".join(["splendid"] * 10)
    found = attack.attack(text, lambda texts: ask(texts) + 100, KNOWN)
    assert not found.fooled
    assert found.changed == pytest.approx(0.3)
