"""The figures of a stage under each condition, beside the baseline on the same rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from export.robustness.conditions import CHOOSING, CLEAN, Condition
from jpqd.analysis import calibration, loyalty, slices
from jpqd.recipe.task import Task
from jpqd.scores import paired
from jpqd.scores.predictions import Predictions
from jpqd.tasks import Kind

Answers = dict[str, Predictions]
"""A stage's answers by condition."""


@dataclass(frozen=True)
class Sides:
    """A stage's answers and its baseline's; for the baseline itself both are the same."""

    mine: Answers
    base: Answers

    @property
    def is_baseline(self) -> bool:
        return self.mine is self.base


def of_stage(
    sides: Sides, conditions: Sequence[Condition], task: Task
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each condition and each part of the clean rows with its figures."""
    for condition in conditions:
        if condition.name == CHOOSING:
            continue
        name, kind = condition.name, condition.kind
        found = _compared(kind, sides.mine[name], sides.base[name], sides.is_baseline)
        if condition.noise is not None and has_classes(kind):
            found |= _beyond_clean(sides, name)
        if name == CLEAN and has_classes(kind):
            found |= _clean(sides)
        yield name, found
        if name == CLEAN and has_classes(kind):
            yield from _parts(sides, condition, task)


def diagrams(answers: Answers, kind: Kind) -> list[dict[str, float]]:
    """Return the points of a reliability diagram, where answers are classes of texts."""
    clean = answers[CLEAN]
    return calibration.diagram(clean.logits, clean.labels) if has_classes(kind) else []


def has_classes(kind: Kind) -> bool:
    """Return whether each row has one answer, and that is a class."""
    return kind.one_answer and not kind.is_number


def _compared(kind: Kind, mine: Predictions, base: Predictions, alone: bool) -> dict[str, Any]:
    found = kind.score(mine)
    if alone:
        return found
    compared = kind.compare([_shared(mine, base)], [_shared(base, mine)])
    middle, low, high = compared["difference"]
    found |= {"difference": middle, "difference_95": [low, high]}
    names = {"agreement": "same_answer", "agreement_95": "same_answer_95", "mcnemar_p": "mcnemar_p"}
    known = {mine: compared.get(name) for name, mine in names.items()}
    return found | {name: value for name, value in known.items() if value is not None}


def _shared(one: Predictions, other: Predictions) -> Predictions:
    """Leave out the answers that the other model has no room for: the last words of long texts."""
    if len(one.rows) == len(other.rows):
        return one
    counts = np.minimum(*(np.bincount(each.rows, minlength=one.count) for each in (one, other)))
    starts = np.searchsorted(one.rows, np.arange(one.count))
    kept = np.arange(len(one.rows)) - starts[one.rows] < counts[one.rows]
    return Predictions(one.logits[kept], one.labels[kept], one.rows[kept])


def _clean(sides: Sides) -> dict[str, Any]:
    """Return loyalty, and calibration as it is and with the temperature of the choosing rows."""
    clean, choosing = sides.mine[CLEAN], sides.mine[CHOOSING]
    temperature = calibration.temperature(choosing.logits, choosing.labels)
    mended = calibration.figures(clean.logits, clean.labels, temperature)
    found = calibration.figures(clean.logits, clean.labels)
    found |= {"temperature": temperature, "ece_mended": mended["ece"],
              "ece_mended_95": mended["ece_95"]}  # fmt: skip
    if not sides.is_baseline:
        found |= loyalty.figures(clean.logits, sides.base[CLEAN].logits, clean.labels)
    return found


def _beyond_clean(sides: Sides, name: str) -> dict[str, Any]:
    """Return what the noise costs this stage more than it costs the baseline, paired by row."""
    if sides.is_baseline:
        return {}
    noisy = _right(sides.mine[name]) - _right(sides.base[name])
    clean = _right(sides.mine[CLEAN]) - _right(sides.base[CLEAN])
    middle, low, high = paired.accuracy_difference(noisy[None], clean[None])
    return {"beyond_clean": middle, "beyond_clean_95": [low, high]}


def _right(answers: Predictions) -> np.ndarray:
    found: np.ndarray = (answers.logits.argmax(1) == answers.labels).astype(float)
    return found


def _parts(sides: Sides, condition: Condition, task: Task) -> Iterator[tuple[str, dict[str, Any]]]:
    kind, mine, base = condition.kind, sides.mine[CLEAN], sides.base[CLEAN]
    texts = [" ".join(kind.texts(task, row)) for row in condition.table]
    for name, rows in slices.of_texts(texts, mine.labels, kind.names):
        yield name, _compared(kind, _some(mine, rows), _some(base, rows), sides.is_baseline)


def _some(answers: Predictions, rows: np.ndarray) -> Predictions:
    return Predictions(answers.logits[rows], answers.labels[rows], np.arange(len(rows)))
