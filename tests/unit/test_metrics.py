"""Figures against values that were worked out by hand."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import Dataset

from jpqd import tasks
from jpqd.core.errors import DataError
from jpqd.scores import metrics, predictions
from jpqd.tasks import Kind
from jpqd.tasks.classification import Classification
from jpqd.tasks.regression import Regression
from tests.helpers.data_fixtures import task

TWO = Classification(("neg", "pos"), ("0", "1"))
THREE = Classification(("a", "b", "c"), ("0", "1", "2"))
MEASURE = Regression()


def score(kind: Kind, found: np.ndarray, truth: np.ndarray) -> dict[str, Any]:
    return kind.score(predictions.of_rows(found, truth))


def logits(classes: list[int], outputs: int) -> np.ndarray:
    """The given class is the largest of each row."""
    return np.eye(outputs, dtype=np.float32)[classes]


def test_two_classes_by_hand() -> None:
    # 3 true positives, 1 false positive, 1 false negative, 1 true negative
    found = score(TWO, logits([1, 1, 1, 1, 0, 0], 2), np.array([1, 1, 1, 0, 1, 0]))
    assert found["n"] == 6
    assert found["accuracy"] == pytest.approx(4 / 6)
    assert found["f1"] == pytest.approx(2 * 3 / (2 * 3 + 1 + 1))
    assert found["matthews"] == pytest.approx((3 * 1 - 1 * 1) / math.sqrt(4 * 4 * 2 * 2))


def test_three_classes_take_the_mean_of_their_f1() -> None:
    found = score(THREE, logits([0, 0, 1, 2, 2], 3), np.array([0, 1, 1, 2, 0]))
    a, b, c = 1 / 2, 2 / 3, 2 / 3
    assert found["accuracy"] == pytest.approx(3 / 5)
    assert found["f1"] == pytest.approx((a + b + c) / 3)


def test_perfect_and_opposite() -> None:
    truth = np.array([0, 1, 0, 1])
    right = score(TWO, logits([0, 1, 0, 1], 2), truth)
    wrong = score(TWO, logits([1, 0, 1, 0], 2), truth)
    assert (right["accuracy"], right["f1"], right["matthews"]) == (1, 1, 1)
    assert (wrong["accuracy"], wrong["f1"], wrong["matthews"]) == (0, 0, -1)


@pytest.mark.parametrize(("guess", "f1"), [(0, 0.0), (1, 2 / 3)])
def test_a_constant_prediction_has_no_correlation(guess: int, f1: float) -> None:
    found = score(TWO, logits([guess] * 4, 2), np.array([0, 1, 0, 1]))
    assert (found["accuracy"], found["matthews"]) == (0.5, 0.0)
    assert found["f1"] == pytest.approx(f1)


@pytest.mark.parametrize("only", [0, 1])
def test_a_split_with_one_class_still_has_figures(only: int) -> None:
    found = score(TWO, logits([only, only, 1 - only], 2), np.array([only] * 3))
    assert found["accuracy"] == pytest.approx(2 / 3)
    assert found["matthews"] == 0.0
    assert found["f1"] == pytest.approx(0.8 if only else 0.0)


def test_a_class_that_the_split_lacks_does_not_spoil_the_rest() -> None:
    found = score(THREE, logits([0, 1, 1], 3), np.array([0, 1, 1]))
    assert (found["accuracy"], found["f1"]) == (1, 1)


def test_figures_are_plain_numbers_without_a_warning(recwarn: pytest.WarningsRecorder) -> None:
    found = score(THREE, logits([0, 0], 3), np.array([0, 0]))
    assert {type(value) for value in found.values()} == {int, float, list}
    assert not list(recwarn)


@pytest.mark.parametrize(
    ("right", "n", "low", "high"),
    [
        (0, 10, 0.0, 0.2775),
        (10, 10, 0.7225, 1.0),
        (5, 10, 0.2366, 0.7634),
        (81, 263, 0.2553, 0.3662),
        (1, 1, 0.2065, 1.0),
    ],
)
def test_the_interval_of_a_share_is_wilsons(right: int, n: int, low: float, high: float) -> None:
    assert metrics.wilson(right, n) == pytest.approx([low, high], abs=1e-4)


def test_rounding_leaves_no_share_outside_of_its_interval() -> None:
    for n in range(1, 300):
        assert metrics.wilson(n, n)[1] == 1.0
        assert metrics.wilson(0, n)[0] == 0.0


def test_the_interval_is_that_of_the_accuracy() -> None:
    found = score(TWO, logits([1, 1, 0], 2), np.array([1, 0, 0]))
    assert found["accuracy_95"] == metrics.wilson(2, 3)


def test_regression_by_hand() -> None:
    guess = np.array([[1.0], [2.0], [9.0]], dtype=np.float32)
    found = score(MEASURE, guess, np.array([1.0, 2.0, 3.0]))
    assert found["n"] == 3
    assert found["pearson"] == pytest.approx(8 / math.sqrt(2 * 38))
    assert found["spearman"] == pytest.approx(1.0)
    assert found["mse"] == pytest.approx(12.0)


@pytest.mark.parametrize(
    ("guess", "truth"),
    [([2.0, 2.0, 2.0], [1.0, 2.0, 3.0]), ([1.0, 2.0, 3.0], [2.0, 2.0, 2.0]), ([1.0], [1.0])],
)
def test_what_has_no_order_has_no_correlation(guess: list[float], truth: list[float]) -> None:
    found = score(MEASURE, np.array(guess)[:, None], np.array(truth))
    assert (found["pearson"], found["spearman"]) == (0.0, 0.0)


@pytest.mark.parametrize(
    ("kind", "asked", "chosen"),
    [
        (TWO, None, "accuracy"),
        (THREE, "f1", "f1"),
        (TWO, "matthews", "matthews"),
        (MEASURE, None, "pearson"),
        (MEASURE, "spearman", "spearman"),
    ],
)
def test_the_checkpoint_is_chosen_by_what_fits(kind: Kind, asked: str | None, chosen: str) -> None:
    assert kind.chooser(task(Path("/data"), metric=asked)) == chosen


@pytest.mark.parametrize(("labels", "asked"), [([0, 1], "pearson"), ([0.5, 1.0], "accuracy")])
def test_a_metric_that_does_not_fit_the_labels_is_refused(labels: list[Any], asked: str) -> None:
    train = Dataset.from_dict({"text": ["good", "bad"], "label": labels})
    with pytest.raises(DataError, match=rf"'{asked}' does not fit.*Choose one of"):
        tasks.of_data(task(Path("/data"), metric=asked), train)
