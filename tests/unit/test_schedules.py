"""The ramps by their ends and their order: the numbers that a recipe's user sees in the history."""

import pytest

from jpqd.methods.prune import schedules

NAMES: tuple[schedules.Schedule, ...] = ("one_shot", "linear", "cubic", "iterative")


def ramp(name: schedules.Schedule, rounds: int = 3) -> list[float]:
    """From 0 to 1 in a hundredth's steps, pruning from 0.2 to 0.6."""
    return [schedules.done(name, step / 100, 0.2, 0.6, rounds) for step in range(101)]


@pytest.mark.parametrize("name", NAMES)
def test_a_ramp_begins_at_start_ends_at_end_and_never_goes_back(name: schedules.Schedule) -> None:
    found = ramp(name)
    assert set(found[:20]) == {0.0}
    assert set(found[60:]) == {1.0}
    assert found == sorted(found)


def test_what_lies_between_the_ends() -> None:
    assert ramp("linear")[40] == pytest.approx(0.5)
    assert ramp("cubic")[40] == pytest.approx(1 - 0.5**3)
    assert ramp("one_shot")[20] == 1.0


@pytest.mark.parametrize("rounds", [2, 3, 7])
def test_rounds_are_equal_parts_the_first_at_start_and_the_last_at_end(rounds: int) -> None:
    found = ramp("iterative", rounds)
    assert sorted(set(found)) == pytest.approx([part / rounds for part in range(rounds + 1)])
    assert found[20] == pytest.approx(1 / rounds)
    assert found[59] == pytest.approx((rounds - 1) / rounds)


@pytest.mark.parametrize("name", NAMES)
def test_a_ramp_without_length_is_a_step(name: schedules.Schedule) -> None:
    found = [schedules.done(name, progress, 0.3, 0.3, 3) for progress in (0.29, 0.3, 1.0)]
    assert found == [0.0, 1.0, 1.0]
