"""A split of a few rows does not say of how many in a hundred roundings tip over: train helps."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from export import check
from export.rows import Rows
from tests.helpers.export_place import assert_nothing_written, jpqd, manifest

Turns = Callable[[Callable[[Rows, int], bool]], None]


@pytest.fixture
def turns(monkeypatch: pytest.MonkeyPatch) -> Turns:
    """Let the IR turn the answers to some rows around."""
    right = check.on_tokens

    def turn(wrong: Callable[[Rows, int], bool]) -> None:
        def on_tokens(model: Any, rows: Rows, *more: Any) -> check.Ask:
            ask = right(model, rows, *more)

            def predict(request: np.ndarray) -> np.ndarray:
                answers = ask(request)
                chosen = [place for place, row in enumerate(request) if wrong(rows, int(row))]
                answers[chosen] = answers[chosen][:, ::-1]
                return answers

            return predict

        monkeypatch.setattr(check, "on_tokens", on_tokens)

    return turn


def test_one_row_of_a_short_split_is_not_too_many(runs: Path, turns: Turns) -> None:
    turns(lambda rows, row: row == 0)
    done = jpqd("export", "jpqd", "--runs", runs)
    assert done.exit_code == 0, done.output
    assert "63 of 64 rows get the same prediction" in done.stderr
    metrics = manifest(runs / "tiny" / "jpqd_ir")["metrics"]
    facts = metrics["check"]["openvino_model.xml"]
    assert facts["rows"] > 200
    assert facts["same"] == pytest.approx(1 - 1 / facts["rows"])
    assert metrics["validation"]["n"] == 64


def test_one_in_fifty_is(runs: Path, turns: Turns) -> None:
    turns(lambda rows, row: row % 50 == 0)
    done = jpqd("export", "jpqd", "--runs", runs)
    assert done.exit_code == 1
    assert "rows get the same prediction" in done.stderr
    assert "of validation and train (" in done.stderr
    assert_nothing_written(runs)
