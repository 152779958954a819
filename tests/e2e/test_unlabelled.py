"""Texts without labels that a teacher labels: more rows to train on."""

import json
from pathlib import Path

import numpy as np
import pytest

from jpqd.core.errors import JpqdError
from jpqd.data import corpus
from tests.helpers.distill_place import COMMON, ROWS, Place, losses, weights


def written(place: Place, lines: list[str], name: str = "more.txt") -> Path:
    path = place.folder / name
    path.write_text("\n".join(lines) + "\n")
    return path


def more(count: int = 96) -> list[str]:
    return [text for text, _ in corpus.reviews("train")[1000 : 1000 + count]]


def test_each_text_is_a_row_that_the_teacher_labels(place: Place) -> None:
    texts = written(place, [*more(), "", "   "])
    teacher = f"teacher: {place.teacher}, weight: 1.0"
    run = place.run(place.small(f"{teacher}, texts: {texts}"))
    facts = json.loads((run / "small" / "manifest.json").read_text())["metrics"]
    labelled = facts["data"]["rows"]["train"]["used"]
    assert labelled < ROWS
    assert facts["data"]["rows"]["train"]["unlabelled"] == 96
    assert facts["train"]["steps"] == -(-(labelled + 96) // 16)
    live = place.run(place.small(f"{teacher}, texts: {texts}, hidden: 1.0e-30"))
    assert losses(run) == pytest.approx(losses(live), rel=1e-4)


def test_scores_without_training_ask_labels_of_rows_that_have_them(place: Place) -> None:
    """What a table of scores is learnt from is train's own rows, whatever texts stand beside."""

    def kept(texts: str) -> list[object]:
        methods = f"{{use: prune, keep: 0.4}}, {{use: distill, teacher: {place.teacher}{texts}}}"
        stages = f"  small: {{{COMMON.replace('epochs: 1', 'epochs: 0')}, methods: [{methods}]}}\n"
        run = place.run(place.recipe(stages, name="texts" if texts else "plain"))
        return list(weights(run / "small").values())

    lines = written(place, more())
    plain, beside = kept(", weight: 1.0"), kept(f", weight: 1.0, texts: {lines}")
    assert all(np.array_equal(one, other) for one, other in zip(plain, beside, strict=True))


def test_other_texts_are_another_stage_and_other_answers(place: Place) -> None:
    def run(lines: list[str]) -> list[float]:
        texts = written(place, lines)
        settings = f"teacher: {place.teacher}, weight: 1.0, texts: [{texts}]"
        return losses(place.run(place.small(settings)))

    assert run(more(64)) != run(more(96)[32:])


@pytest.mark.parametrize(
    ("settings", "lines", "said"),
    [
        ("weight: 0.9, texts: {0}", ["a"], "have no labels for the task's own loss"),
        ("weight: 1.0, texts: {0}.csv", ["a"], "is no file of texts"),
        ("weight: 1.0, texts: {0}/none.txt", ["a"], "none.txt"),
        ("weight: 1.0, texts: {0}", ["", " "], "there is no text in it"),
    ],
)
def test_what_is_no_text_is_refused(
    place: Place, settings: str, lines: list[str], said: str
) -> None:
    texts = written(place, lines)
    with pytest.raises(JpqdError, match=said) as error:
        place.run(place.small(f"teacher: {place.teacher}, " + settings.format(texts)))
    assert error.value.exit_code == 2
    assert not (place.folder / "runs" / "small" / "small").exists()
