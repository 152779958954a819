"""What a label column means, decided from what stands in it."""

from pathlib import Path
from typing import Any

import pytest
from datasets import ClassLabel, Dataset, Features, Value

from jpqd import tasks
from jpqd.core.errors import DataError, SourceError
from jpqd.tasks._texts import is_plain
from tests.helpers.data_fixtures import task


def find(values: list[Any], **settings: Any) -> Any:
    train = Dataset.from_dict({"text": ["good"] * len(values), "label": values})
    return tasks.of_data(task(Path("/data"), **settings), train)


def declared(values: list[int], names: list[str], **settings: Any) -> Any:
    features = Features({"label": ClassLabel(names=names)})
    train = Dataset.from_dict({"label": values}, features=features)
    return tasks.of_data(task(Path("/data"), **settings), train)


@pytest.mark.parametrize(
    ("values", "names"),
    [
        ([1, 0, 1], ("0", "1")),
        ([1, -1], ("-1", "1")),
        (["1", "-1", "1"], ("-1", "1")),
        ([10, 9, 2, 1, 3, 4], ("1", "2", "3", "4", "9", "10")),
        (["10", "9", "2"], ("2", "9", "10")),
        (["pos", "neg", "neutral"], ("neg", "neutral", "pos")),
        (["joy", "anger", "fear", "love", "sadness", "surprise"] * 2, None),
        ([True, False], ("false", "true")),
        ([1.0, 0.0, 2.0], ("0", "1", "2")),
        (["1.0", "0.0"], ("0", "1")),
        ([" yes", "no "], ("no", "yes")),
        (["²", "1"], ("1", "²")),
        (["1.5", "high"], ("1.5", "high")),
        ([1, None, 0], ("0", "1")),
        (["a", "", " ", "b"], ("a", "b")),
    ],
)
def test_classes_are_numbered_in_order(values: list[Any], names: tuple[str, ...] | None) -> None:
    found = find(values)
    assert found.use == "classification"
    assert found.names == (names or tuple(sorted(set(values))))


def test_every_value_gets_the_number_of_its_class() -> None:
    found = find(["neg", "pos"])
    assert [found.number(value) for value in ("neg", " pos ", "", None, "other")] == [
        0,
        1,
        None,
        None,
        None,
    ]


@pytest.mark.parametrize("spelled", [1, 1.0, "1", "1.0", " 1 "])
def test_a_class_number_is_one_label_however_it_is_spelled(spelled: Any) -> None:
    assert find([0, 1]).number(spelled) == 1
    assert find(["0.0", "1.0"]).number(spelled) == 1


@pytest.mark.parametrize("values", [[0.5, 1.0, 3.8], ["0.5", "1.000", "3.8"], [1.5, None, 2.0]])
def test_fractions_are_regression(values: list[Any]) -> None:
    found = find(values)
    assert (found.use, found.names) == ("regression", ())
    assert found.number(values[0]) == float(values[0])


@pytest.mark.parametrize("values", [[0, 5, 3], ["0", "5", "3"], ["5", "5", "5"]])
def test_whole_numbers_are_regression_when_the_recipe_says_so(values: list[Any]) -> None:
    found = find(values, use="regression")
    assert found.use == "regression"
    assert isinstance(found.number(values[1]), float)
    assert found.number(values[1]) == 5.0


def test_class_numbers_of_the_data_are_measures_when_the_recipe_says_so() -> None:
    assert declared([0, 1], ["low", "high"], use="regression").use == "regression"


@pytest.mark.parametrize("wrong", ["high", "nan", "inf"])
def test_regression_refuses_what_is_no_number(wrong: str) -> None:
    with pytest.raises(DataError, match=f"'label': '{wrong}' is not a number"):
        find(["1.5", wrong], use="regression")


def test_a_regression_label_that_is_no_number_counts_as_missing() -> None:
    found = find([0.5, 1.0])
    assert [found.number(value) for value in ("high", "nan", None, "2")] == [None, None, None, 2.0]


@pytest.mark.parametrize(
    ("values", "names", "numbers"),
    [
        ([0, 1], ("negative", "positive"), {0: 0, 1: 1}),
        (["0", "1"], ("negative", "positive"), {"0": 0, "1": 1}),
        ([0, 2], ("low", "middle", "high"), {0: 0, 2: 2, 1: 1}),
        ([1, 1], ("negative", "positive"), {1: 1, 0: 0}),
        (["good", "bad"], ("good", "bad"), {"good": 0, "bad": 1}),
        (["bad", "bad"], ("good", "bad"), {"good": 0, "bad": 1}),
        ([1, -1], ("1", "-1"), {1: 0, -1: 1}),
        ([0, 1], ("1", "0"), {1: 0, 0: 1}),
        ([1.0, 2.0], ("1.0", "2.0"), {1: 0, 2: 1}),
    ],
)
def test_the_recipe_names_the_classes(
    values: list[Any], names: tuple[str, ...], numbers: dict[Any, int]
) -> None:
    found = find(values, labels=names)
    assert found.names == names
    assert {value: found.number(value) for value in numbers} == numbers


@pytest.mark.parametrize("values", [[0, 1, 2], [-1, 1], ["good", "ok"], [0.5, 1.5]])
def test_labels_that_do_not_fit_the_recipe_are_refused(values: list[Any]) -> None:
    with pytest.raises(
        DataError, match=r"'label' holds .* does not fit task\.labels 'good', 'bad'"
    ):
        find(values, labels=("good", "bad"))


def test_names_that_the_data_declares_are_used() -> None:
    found = declared([0, 1, -1], ["neg", "pos"])
    assert found.names == ("neg", "pos")
    assert [found.number(value) for value in (0, 1, -1)] == [0, 1, None]


def test_the_recipe_renames_declared_classes_but_not_their_count() -> None:
    assert declared([0, 1], ["neg", "pos"], labels=("bad", "good")).names == ("bad", "good")
    turned = declared([0, 1], ["neg", "pos"], labels=("pos", "neg"))
    assert turned.names == ("pos", "neg")
    assert [turned.number(value) for value in (0, 1)] == [1, 0], "a name means the same class"
    with pytest.raises(DataError, match=r"2 classes \('neg', 'pos'\), but task\.labels has 3"):
        declared([0, 1], ["neg", "pos"], labels=("a", "b", "c"))


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ([None, None], "every label of train is missing"),
        (["", " "], "every label of train is missing"),
        (["same"] * 3, "every row has the label 'same'.*task.labels"),
        ([f"text {i}" for i in range(1001)], "1001 different labels.*Is this the label column"),
    ],
)
def test_columns_that_cannot_be_labels_are_refused(values: list[Any], problem: str) -> None:
    with pytest.raises(DataError, match=problem):
        find(values)


@pytest.mark.parametrize("dtype", ["string", "large_string", "int8", "uint16", "float32", "bool"])
def test_plain_columns_are_known(dtype: str) -> None:
    assert is_plain(Value(dtype))


def test_points_in_time_are_not_plain() -> None:
    assert not is_plain(Value("timestamp[s]"))


def test_a_model_of_several_numbers_a_text_is_refused_and_no_classifier() -> None:
    config = {"architectures": ["BertForSequenceClassification"], "problem_type": "regression"}
    with pytest.raises(SourceError, match=r"3 numbers \(problem_type: regression\)"):
        tasks.of_config({**config, "id2label": {0: "valence", 1: "arousal", 2: "dominance"}})
    assert tasks.of_config({**config, "id2label": {0: "LABEL_0"}}).use == "regression"
