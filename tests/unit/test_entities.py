"""Entities and their F1, held against seqeval."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from seqeval import scheme
from seqeval.metrics import f1_score
from seqeval.metrics.sequence_labeling import get_entities

from jpqd.scores import paired
from jpqd.scores.entities import Entity, are_readable, counts, entities, f1

TAGS = ["O", "B-x", "I-x", "B-y", "I-y"]
sentences = st.lists(
    st.lists(st.sampled_from(TAGS), min_size=1, max_size=9).flatmap(
        lambda tags: st.tuples(
            st.just(tags), st.lists(st.sampled_from(TAGS), min_size=len(tags), max_size=len(tags))
        )
    ),
    min_size=1,
    max_size=6,
)


@given(st.lists(st.sampled_from(TAGS), max_size=12))
def test_entities_are_those_of_seqeval(tags: list[str]) -> None:
    assert [tuple(entity) for entity in entities(tags)] == get_entities(tags)


@given(sentences)
@settings(deadline=None)
def test_f1_is_that_of_seqeval(pairs: list[tuple[list[str], list[str]]]) -> None:
    found = np.array([counts(guess, truth) for guess, truth in pairs]).sum(0)
    guess, truth = ([pair[side] for pair in pairs] for side in (0, 1))
    expected = f1_score(truth, guess, zero_division=0)
    assert float(f1(found)) == pytest.approx(expected)


def test_an_inside_that_continues_nothing_begins_an_entity() -> None:
    found = list(entities(["I-x", "I-y", "O", "B-x", "B-x"]))
    assert found == [Entity("x", 0, 0), Entity("y", 1, 1), Entity("x", 3, 3), Entity("x", 4, 4)]


def test_an_interval_is_over_texts_and_holds_the_figure() -> None:
    each = np.array([[1, 1, 1], [0, 1, 1], [1, 1, 2], [1, 2, 1]] * 50)
    low, high = paired.f1_interval(each)
    whole = float(f1(each.sum(0)))
    assert low < whole < high and high - low < 0.15
    difference, below, above = paired.f1_difference(each[None], each[None], resamples=50)
    assert difference == 0
    assert -0.03 < below < 0 < above < 0.03  # 200 texts that agree do not show that all would


@pytest.mark.parametrize(
    ("tags", "kind"),
    [(["B-x", "I-x", "E-x", "O", "S-y", "S-y"], scheme.IOBES),
     (["U-y", "B-x", "L-x", "O", "B-x", "I-x", "L-x"], scheme.BILOU)],
)  # fmt: skip
def test_entities_of_other_schemes_are_those_of_seqeval(tags: list[str], kind: type) -> None:
    assert [tuple(entity) for entity in entities(tags)] == by_seqeval(tags, kind)
    assert are_readable(tags)


def by_seqeval(tags: list[str], kind: type) -> list[tuple[str, int, int]]:
    found = scheme.Entities([tags], kind).entities[0]
    return [(one.tag, one.start, one.end - 1) for one in found]


@pytest.mark.parametrize("tags", [["NOUN", "VERB"], ["O", "PER"], ["0", "1"], ["O"], ["B-", "O"]])
def test_tags_that_mark_no_entities_are_told(tags: list[str]) -> None:
    assert not are_readable(tags)
