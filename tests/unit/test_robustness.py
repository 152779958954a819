"""Faults that are planted into answers are found by the figure that is meant for them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import Dataset

from export.robustness import figures
from export.robustness.conditions import Condition
from export.robustness.figures import Sides
from jpqd.analysis import calibration, loyalty
from jpqd.recipe.task import Task
from jpqd.scores import predictions
from jpqd.scores.predictions import Predictions
from jpqd.tasks.agreement import Agreement
from jpqd.tasks.classification import Classification
from jpqd.tasks.token_classification import TokenClassification

KIND = Classification(("bad", "good"), ("bad", "good"))
ROWS = 600


def planted() -> tuple[list[str], np.ndarray, np.ndarray]:
    """Texts, labels, and the logits of a model that is right and as sure as it should be."""
    random = np.random.default_rng(0)
    texts = [f"it is {'not ' if n % 3 == 0 else ''}{'so ' * (n % 7)}fine" for n in range(ROWS)]
    sure = random.uniform(-3, 3, ROWS)
    labels = (random.random(ROWS) < 1 / (1 + np.exp(-sure))).astype(int)
    return texts, labels, np.stack([np.zeros(ROWS), sure], 1)


def found(mine: dict[str, Predictions], base: dict[str, Predictions]) -> dict[str, Any]:
    texts, labels, _ = planted()
    table = Dataset.from_dict({"text": texts, "label": labels.tolist()})
    given = [
        Condition("clean", table, KIND, "validation"),
        Condition("choosing", table, KIND, "select"),
        Condition("noise 10%", table, KIND, "validation", 0.1),
    ]
    task = Task(name="reviews", dataset="builtin:reviews")
    return dict(figures.of_stage(Sides(mine, base), given, task))


def answers(logits: np.ndarray, noisy: np.ndarray | None = None) -> dict[str, Predictions]:
    _, labels, _ = planted()
    clean = predictions.of_rows(logits, labels)
    slips = clean if noisy is None else predictions.of_rows(noisy, labels)
    return {"clean": clean, "choosing": clean, "noise 10%": slips}


def test_answers_swapped_at_negations_show_there_and_nowhere_else() -> None:
    texts, _, logits = planted()
    negated = np.array(["not" in text for text in texts])
    swapped = np.where(negated[:, None], logits[:, ::-1], logits)
    made = found(answers(swapped), answers(logits))
    assert made["negation"]["difference_95"][1] < -0.3
    assert made["negation"]["n"] == negated.sum()
    assert made["clean"]["became_wrong"] > made["clean"]["became_right"]
    assert made["noise 10%"]["beyond_clean"] == 0.0
    assert set(made) >= {"short", "long", "label bad", "label good"}


def test_a_model_that_is_too_sure_shows_and_its_temperature_mends_it() -> None:
    _, labels, logits = planted()
    base = answers(logits)
    alone, made = found(base, base)["clean"], found(answers(4 * logits), base)["clean"]
    assert alone["ece"] < 0.06
    assert made["ece_95"][0] > alone["ece_95"][1]
    assert made["temperature"] == pytest.approx(4 * alone["temperature"], rel=0.01)
    assert made["ece_mended"] == pytest.approx(found(base, base)["clean"]["ece_mended"], abs=1e-4)
    assert (made["difference"], made["same_answer"]) == (0.0, 1.0)
    diagram = calibration.diagram(logits, labels)
    assert sum(one["n"] for one in diagram) == ROWS
    assert all(abs(one["confidence"] - one["accuracy"]) < 0.2 for one in diagram)


def test_a_model_that_only_noise_breaks_is_behind_its_baseline_beyond_what_it_was() -> None:
    _, _, logits = planted()
    broken = logits.copy()
    broken[::4] = broken[::4, ::-1]
    made = found(answers(logits, broken), answers(logits))
    assert made["clean"]["difference"] == 0.0
    low, high = made["noise 10%"]["beyond_clean_95"]
    assert low < made["noise 10%"]["beyond_clean"] < high < 0


def test_an_interval_of_calibration_holds_its_figure() -> None:
    for seed in range(20):
        random = np.random.default_rng(seed)
        sure = random.uniform(-3, 3, 200)
        labels = (random.random(200) < 1 / (1 + np.exp(-sure))).astype(int)
        made = calibration.figures(np.stack([np.zeros(200), sure], 1), labels)
        low, high = made["ece_95"]
        assert low <= made["ece"] <= high


def test_the_main_figure_of_an_agreement_is_with_the_labels() -> None:
    _, _, logits = planted()
    kind = Agreement(("bad", "good"), ("bad", "good"))
    base = answers(logits)["clean"]
    made = figures._compared(kind, answers(-logits)["clean"], base, alone=False)
    alone = figures._compared(kind, base, base, alone=True)
    assert made["agreement"] == pytest.approx(1 - alone["agreement"])
    assert made["same_answer"] == 0.0


def test_words_that_one_model_has_no_room_for_do_not_count() -> None:
    tags = ("O", "B-X")
    kind = TokenClassification(tags, tags)
    rows = [np.eye(2)[[0, 1, 0]], np.eye(2)[[1, 0, 0, 1]]]
    labels = [np.array([0, 1, 0]), np.array([1, 0, 0, 1])]
    long = predictions.joined(rows, labels)
    short = predictions.joined([one[:2] for one in rows], [one[:2] for one in labels])
    made = figures._compared(kind, short, long, alone=False)
    assert (made["difference"], made["same_answer"]) == (0.0, 1.0)


def test_distance_of_probabilities() -> None:
    one = np.array([[50.0, -50.0]])
    assert loyalty.distance(one, one) == 0.0
    assert loyalty.distance(one, -one) == pytest.approx(1.0)


def test_one_row_and_answers_that_are_all_right_have_figures(tmp_path: Path) -> None:
    one = np.array([[0.0, 9.0]])
    made = calibration.figures(one, np.array([1]))
    assert made["ece"] == pytest.approx(0.0, abs=1e-3)
    assert np.isfinite(calibration.temperature(one, np.array([1])))
