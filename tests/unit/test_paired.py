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
        _, low, high = paired.accuracy_difference(*arms)
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


@pytest.mark.parametrize("rows", [50, 500])
def test_full_agreement_does_not_claim_that_no_row_will_ever_differ(rows: int) -> None:
    same = right(rows * 9 // 10, 0, 0, rows // 10)
    middle, low, high = paired.accuracy_difference(*same)
    assert middle == 0
    assert low < -2 / rows and high > 2 / rows
    counts = np.tile([1, 1, 1], (1, rows, 1))
    middle, low, high = paired.f1_difference(counts, counts, resamples=50)
    assert middle == 0 and low < -2 / rows and high > 2 / rows
    guess, truth = np.arange(float(rows))[None], np.arange(float(rows)) ** 2
    _, low, high = paired.pearson_difference(guess, guess, truth, resamples=50)
    assert low < -2 / rows and high > 2 / rows


@pytest.mark.parametrize(("won", "lost"), [(0.0, 0.004), (0.002, 0.004), (0.02, 0.03)])
def test_the_interval_holds_the_truth_in_19_of_20_data_sets(won: float, lost: float) -> None:
    """Rows drawn again (a bootstrap) held it in 84% of them where few rows differ."""
    random, inside = np.random.default_rng(5), 0
    for _ in range(1000):
        counts = random.multinomial(500, [0.7, won, lost, 0.3 - won - lost])
        _, low, high = paired.accuracy_difference(*right(*counts))
        inside += low <= won - lost <= high
    assert inside / 1000 >= 0.94


def test_agreement_has_an_interval_that_full_agreement_does_not_close() -> None:
    classes = np.array([[0, 1] * 100])
    low, high = paired.agreement_interval(classes, classes, 200)
    assert high == pytest.approx(1.0) and 0.975 < low < 0.985
