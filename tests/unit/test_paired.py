"""Paired statistics against values that are known another way."""

import numpy as np
import pytest
from scipy import stats

from jpqd.scores import paired


def right(*counts: int) -> tuple[np.ndarray, np.ndarray]:
    """One run of rows that both, only the first, only the second and neither get right."""
    pairs = np.repeat([[1, 1], [1, 0], [0, 1], [0, 0]], counts, axis=0).astype(bool)
    return pairs[None, :, 0], pairs[None, :, 1]


def test_mcnemar_by_hand() -> None:
    # 2 * (C(12,0) + C(12,1) + C(12,2) + C(12,3)) / 2**12
    assert paired.mcnemar(*right(80, 3, 9, 8)) == pytest.approx(2 * 299 / 4096)
    assert paired.mcnemar(*right(80, 9, 3, 8)) == pytest.approx(2 * 299 / 4096)
    assert paired.mcnemar(*right(90, 0, 0, 10)) == 1.0


def test_mcnemar_is_left_out_where_rows_come_back() -> None:
    stage, baseline = (np.tile(arm, (3, 1)) for arm in right(80, 3, 9, 8))
    assert paired.mcnemar(stage, baseline) is None


def test_the_interval_of_the_difference_is_that_of_the_closed_form() -> None:
    stage, baseline = right(700, 40, 60, 200)
    difference, low, high = paired.accuracy_difference(stage, baseline)
    error = np.sqrt((40 + 60) / 1000 - 0.02**2) / np.sqrt(1000)
    assert difference == pytest.approx(-0.02)
    assert (low, high) == pytest.approx((-0.02 - 1.96 * error, -0.02 + 1.96 * error), abs=0.001)


def test_the_same_figures_for_the_same_rows_every_time() -> None:
    pair = right(700, 40, 60, 200)
    assert paired.accuracy_difference(*pair) == paired.accuracy_difference(*pair)


def test_runs_that_repeat_each_other_do_not_narrow_the_interval() -> None:
    one = right(700, 40, 60, 200)
    three = tuple(np.tile(arm, (3, 1)) for arm in one)
    assert paired.accuracy_difference(*three) == pytest.approx(paired.accuracy_difference(*one))


def test_runs_with_errors_of_their_own_do() -> None:
    random = np.random.default_rng(1)
    stage, baseline = random.random((2, 4, 500)) < 0.8
    _, low, high = paired.accuracy_difference(stage, baseline)
    _, low_of_one, high_of_one = paired.accuracy_difference(stage[:1], baseline[:1])
    assert high - low == pytest.approx((high_of_one - low_of_one) / 2, rel=0.15)


def test_no_difference_is_called_one_in_about_one_of_twenty() -> None:
    random = np.random.default_rng(7)
    alarms = 0
    for _ in range(400):
        hard = random.random(400) < 0.2  # rows that both find hard, so that pairing matters
        arms = random.random((2, 2, 400)) < np.where(hard, 0.5, 0.95)
        _, low, high = paired.accuracy_difference(*arms, resamples=400)
        alarms += not low <= 0 <= high
    assert 0.02 <= alarms / 400 <= 0.09


def test_correlations_are_those_of_scipy_and_their_mean() -> None:
    random = np.random.default_rng(0)
    truth = random.normal(size=50).astype(np.float32)
    guess = (truth + random.normal(size=(2, 50))).astype(np.float32)
    known = [stats.pearsonr(one.astype(float), truth.astype(float)).statistic for one in guess]
    assert paired.pearson(guess, truth) == pytest.approx(np.mean(known))
    twice = np.repeat([1, 2], 25)
    again = stats.pearsonr(np.repeat(guess[0], twice), np.repeat(truth, twice)).statistic
    assert paired.pearson(guess[0], truth, twice) == pytest.approx(again, abs=1e-6)


def test_a_constant_orders_nothing() -> None:
    assert paired.pearson(np.full((1, 9), 0.1), np.arange(9.0)) == 0.0


def test_the_interval_of_a_correlation_holds_the_known_difference() -> None:
    random = np.random.default_rng(3)
    truth = random.normal(size=800)
    good, poor = (truth + noise * random.normal(size=(1, 800)) for noise in (0.5, 1.0))
    known = 1 / np.sqrt(1.25) - 1 / np.sqrt(2)
    difference, low, high = paired.pearson_difference(good, poor, truth, resamples=1000)
    assert difference == pytest.approx(known, abs=0.03)
    assert low < known < high
    assert low > 0


def test_the_divergence_is_that_of_the_probabilities() -> None:
    half, quarter = np.log([[[0.5, 0.5]]]), np.log([[[0.25, 0.75]]])
    expected = 0.5 * np.log(0.5 / 0.25) + 0.5 * np.log(0.5 / 0.75)
    assert paired.divergence(quarter, half) == pytest.approx(expected)
    assert paired.divergence(quarter, quarter + 3) == pytest.approx(0)


def test_agreement_counts_rows_whether_right_or_wrong() -> None:
    assert paired.agreement(np.array([[0, 1, 2, 2]]), np.array([[0, 1, 1, 2]])) == 0.75
