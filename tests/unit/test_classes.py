"""Figures of each class, held against scikit-learn."""

import numpy as np
from sklearn import metrics as sk

from jpqd.scores import classes


def test_figures_of_each_class_are_those_of_scikit_learn() -> None:
    random = np.random.default_rng(0)
    truth, guess = random.integers(0, 3, 200), random.integers(0, 4, 200)
    names = ["a", "b", "c", "never there", "never guessed"]
    assert (classes.confusion(5, guess, truth)
            == sk.confusion_matrix(truth, guess, labels=range(5))).all()  # fmt: skip
    expected = sk.precision_recall_fscore_support(truth, guess, labels=range(5), zero_division=0)
    figures = classes.per_class(names, guess, truth)
    assert [one["class"] for one in figures] == names
    for key, values in zip(("precision", "recall", "f1", "n"), expected, strict=True):
        np.testing.assert_allclose([one[key] for one in figures], values)
