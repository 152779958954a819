"""The built-in corpus: always the same rows, fair splits, and a task that needs word order."""

import hashlib
import re
from typing import Literal

import pytest

from jpqd.data.corpus import LABELS, reviews
from tests.helpers import bag_of_words

TRAIN_SHA256 = "5e9edf7385e2749bd899188fca5e76419f8c51102d5a225a751a73c04d5136d0"
GOOD = "good|great|wonderful|excellent|superb|lovely"
BAD = "bad|awful|terrible|dreadful|poor|horrible"
PRAISE = "a triumph|a delight|a joy|a gem"
BLAME = "a mess|a disaster|a failure|a nightmare"


def test_train_rows_are_always_the_same() -> None:
    text = "\n".join(f"{label}\t{sentence}" for sentence, label in reviews("train"))
    assert hashlib.sha256(text.encode()).hexdigest() == TRAIN_SHA256


def test_changing_a_returned_list_does_not_change_the_corpus() -> None:
    reviews("validation").clear()
    assert len(reviews("validation")) == 2_000


def test_splits_share_no_sentence_and_repeat_none() -> None:
    sentences = [text for text, _ in reviews("train") + reviews("validation")]
    assert len(set(sentences)) == len(sentences) == 14_000


@pytest.mark.parametrize("split", ["train", "validation"])
def test_labels_are_balanced(split: Literal["train", "validation"]) -> None:
    labels = [label for _, label in reviews(split)]
    assert set(labels) == set(range(len(LABELS)))
    assert sum(labels) * 2 == len(labels)


def test_sentences_are_of_natural_and_varied_length() -> None:
    lengths = [len(text.split()) for text, _ in reviews("train")]
    assert min(lengths) >= 4
    assert max(lengths) <= 35
    assert len(set(lengths)) > 20


def test_counting_words_does_not_solve_the_task() -> None:
    assert 0.6 < bag_of_words.accuracy(longest=1) < 0.85


@pytest.mark.parametrize(
    ("pattern", "label"),
    [
        (rf"the \w+ (was|is) ({GOOD})\.", "positive"),
        (rf"the \w+ (was|is) ({BAD})\.", "negative"),
        (rf"the \w+ (was|is) not ({BAD}) at all\.", "positive"),
        (rf"the \w+ (was|is) not ({GOOD}) at all\.", "negative"),
        (rf"the \w+ (was|is) never ({BAD})\.", "positive"),
        (rf"the \w+ (was|is) far from ({GOOD})\.", "negative"),
        (rf"the \w+ (was|is) hardly ({PRAISE})\.", "negative"),
        (rf"the \w+ (was|is) hardly ({BLAME})\.", "positive"),
        (rf"the \w+ (was|is) not only ({BAD}) but \w+\.", "negative"),
        (rf"the \w+ could not have been more ({GOOD})\.", "positive"),
        (rf".*, but the \w+ (was|is) (\w+ly )?({BAD})\.", "negative"),
        (rf".*, but the \w+ (was|is) (\w+ly )?({GOOD})\.", "positive"),
        (rf"although .*, the \w+ (was|is) ({GOOD}|{PRAISE})\.", "positive"),
        (rf"the \w+ (was|is) ({BAD}|{BLAME}), (although|even though) .*\.", "negative"),
        (r"despite (its charm|all the praise), .*", "negative"),
        (r"the .* despite (its faults|all the problems)\.", "positive"),
    ],
)
def test_construction_has_the_label_a_reader_expects(pattern: str, label: str) -> None:
    rows = reviews("train") + reviews("validation")
    found = [LABELS[number] for text, number in rows if re.fullmatch(pattern, text.lower())]
    assert found, f"no review reads like {pattern}"
    assert set(found) == {label}


def test_unknown_split_is_refused_with_the_choices() -> None:
    with pytest.raises(ValueError, match="use 'train' or 'validation'"):
        reviews("test")  # type: ignore[arg-type]
