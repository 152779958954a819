"""Figures of each class, and what was taken for what."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from jpqd import tasks
from jpqd.core.manifest import Manifest
from jpqd.core.names import PREDICTIONS
from jpqd.report import words
from jpqd.report.page import deployed
from jpqd.report.page.gather import Page
from jpqd.report.page.tables import Table
from jpqd.scores import predictions

_MATRIX, _PAIRS = 12, 20
"""The most classes of a matrix; of more classes, the pairs that are confused most often."""


def found(page: Page) -> Iterator[Table]:
    """Yield the tables of the main model; none where answers are no classes."""
    stage = _answering(page)
    mine = _classes(page, stage) if stage else None
    if stage is None or mine is None:
        return
    yield _each(page, stage, mine["each"])
    names = [row["class"] for row in mine["each"]]
    yield _matrix(stage, names, mine["confusion"])


def _answering(page: Page) -> Manifest | None:
    """Return the stage whose answers were kept: the IR, or the model that it was made of."""
    main = deployed.main(page).stage
    names = [main.stage, *main.made_of, page.main.stage]
    kept = [stage for stage in page.stages if PREDICTIONS in stage.files]
    return next((stage for name in names for stage in kept if stage.stage == name), None)


def _classes(page: Page, stage: Manifest) -> dict[str, Any] | None:
    sealed = page.run.open(stage.stage)
    if PREDICTIONS not in stage.files or sealed.broken(PREDICTIONS):
        return None
    answers, facts = predictions.load(sealed.folder / PREDICTIONS)
    return tasks.of_facts(facts).classes([answers])


def _each(page: Page, stage: Manifest, rows: list[dict[str, Any]]) -> Table:
    head = ["class", "n", "precision, %", "recall, %", "F1, %"]
    cells = [
        [row["class"], str(row["n"]),
         *(words.score("f1", row[key]) for key in ("precision", "recall", "f1"))]
        for row in rows
    ]  # fmt: skip
    if stage is not page.baseline and (theirs := _classes(page, page.baseline)):
        head += [f"F1 of {page.baseline.stage}, %"]
        cells = [[*line, words.score("f1", row["f1"])]
                 for line, row in zip(cells, theirs["each"], strict=True)]  # fmt: skip
    note = (
        "Precision: the share of answers with this class that are right. Recall: the share of the "
        "class's rows that were found. F1: their harmonic mean."
    )
    return Table(f"Each class: {stage.stage}", head, cells, note, set())


def _matrix(stage: Manifest, names: list[str], matrix: list[list[int]]) -> Table:
    title = f"What was taken for what: {stage.stage}"
    if len(names) > _MATRIX:
        return _pairs(title, names, matrix)
    rows = [[name, *map(str, line)] for name, line in zip(names, matrix, strict=True)]
    note = "Rows: the true class. Columns: the answer. The diagonal is right."
    return Table(title, ["true class", *names], rows, note, set())


def _pairs(title: str, names: list[str], matrix: list[list[int]]) -> Table:
    wrong = [
        (count, truth, answer)
        for truth, line in enumerate(matrix)
        for answer, count in enumerate(line)
        if count and truth != answer
    ]
    most = sorted(wrong, key=lambda one: (-one[0], one[1:]))[:_PAIRS]
    rows = [[names[truth], names[answer], str(count)] for count, truth, answer in most]
    note = f"The {len(rows)} most frequent of {len(wrong)} confusions."
    return Table(title, ["true class", "taken for", "rows"], rows, note, {"taken for"})
