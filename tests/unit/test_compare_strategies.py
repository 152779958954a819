"""The figures that strategies are compared by, against known ones."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jpqd.core.compression_plan import hypervolume
from tests.helpers.compare_strategies import interval

points = st.lists(st.tuples(st.floats(0, 8), st.floats(0, 1)), max_size=12)


@pytest.mark.parametrize(
    ("given_points", "area"),
    [
        ([], 0.0),
        ([(3.0, 0.5)], 1.0),
        ([(3.0, 0.5), (2.0, 0.5)], 1.0),
        ([(3.0, 0.5), (2.0, 0.8)], 1.3),
        ([(2.0, 0.8), (5.0, 0.1), (3.0, 0.5), (1.5, 0.7)], 1.3 + 0.2),
        ([(0.5, 0.9), (3.0, 0.0)], 0.0),
    ],
)
def test_the_area_is_that_of_the_front(
    given_points: list[tuple[float, float]], area: float
) -> None:
    assert hypervolume(given_points) == pytest.approx(area)


@given(found=points, more=st.tuples(st.floats(0, 8), st.floats(0, 1)))
def test_another_point_never_makes_it_less(
    found: list[tuple[float, float]], more: tuple[float, float]
) -> None:
    before, after = (hypervolume(all_of) for all_of in (found, [*found, more]))
    assert after >= before - 1e-12
    assert hypervolume([*reversed(found), more]) == pytest.approx(after)


def test_an_interval_is_students() -> None:
    """The mean of 1, 2, 3 has a standard error of 0.577, and t of two degrees is 4.303."""
    assert interval([1.0, 2.0, 3.0]) == (2.0, pytest.approx(2.484, abs=1e-3))
    assert interval([2.0]) == (2.0, float("inf"))
