"""How much of an analysis fits into the time that is given."""

from __future__ import annotations

import pytest

from jpqd.analysis.forecast import Pace
from jpqd.core.errors import UserError
from jpqd.run import analyzing

ROWS = {"train": 10_000, "select": 1_000, "validation": 1_000}


def pace(row: float = 0.01, layers: int = 6) -> Pace:
    return Pace(row=row, alone=2 * row, layers=layers, millions=20.0, rows=ROWS)


def fitted(minutes: float, own: Pace | None = None) -> tuple[dict[str, object], list[str]]:
    parts, left = analyzing.fitted(
        own or pace(), analyzing.USES, ["teacher", "ptq"], "validation", 60 * minutes
    )
    assert sum(part.seconds for part in parts) <= 60 * minutes
    return {part.use: part.options for part in parts}, [part.use for part in left]


def test_what_there_is_time_for_is_done_as_thoroughly_as_that_allows() -> None:
    every, left = fitted(1_000)
    assert set(every) == set(analyzing.USES)
    assert left == []
    assert every["sensitivity"] == {"use": "sensitivity", "needs": ["teacher"], "samples": 512}
    assert every["robustness"]["needs"] == ["teacher", "ptq"]  # type: ignore[index]
    less, left = fitted(10)
    assert set(less) == set(analyzing.USES)
    assert left == []
    assert less["sensitivity"]["samples"] < 512  # type: ignore[index]
    some, left = fitted(2)
    assert len(some) + len(left) == 3
    assert left


def test_nothing_fits_into_no_time() -> None:
    assert fitted(0.01) == ({}, ["bit_widths", "sensitivity", "robustness"])


def test_noise_that_a_gate_asks_for_is_made_however_short_the_time_is() -> None:
    ways = analyzing._ways("robustness", pace(), ["teacher"], "validation", [0.2, 0.4])
    assert [way.options["noise"] for way in ways] == [[0.05, 0.1, 0.2, 0.4], [0.1, 0.2, 0.4]]


def test_a_slower_model_has_a_longer_forecast() -> None:
    quick, slow = (pace(row) for row in (0.01, 0.1))
    assert slow.sensitivity(64) == pytest.approx(10 * quick.sensitivity(64))
    assert slow.robustness(2, 1, "validation") > quick.robustness(2, 1, "validation")
    assert slow.bit_widths(200, 1, 20) > quick.bit_widths(200, 1, 20)
    assert pace(layers=12).sensitivity(64) > 1.8 * pace(layers=6).sensitivity(64)


def test_names_of_analyses_are_checked() -> None:
    assert analyzing.chosen(None) == list(analyzing.USES)
    assert analyzing.chosen("bit_widths, robustness,bit_widths") == ["bit_widths", "robustness"]
    with pytest.raises(UserError, match="did you mean 'sensitivity'"):
        analyzing.chosen("sensitivty")
