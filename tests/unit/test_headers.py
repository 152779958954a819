"""Numbers of classes mean in every split what they mean in train."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from datasets import ClassLabel, Dataset, DatasetDict, Features, Sequence, Value

from export import rows
from jpqd.core.errors import DataError
from jpqd.data import headers
from jpqd.recipe.task import Task

TASK = Task(name="made", dataset="builtin:reviews", text=("text",), label="label")
TRAIN = ["neg", "neu", "pos"]


def split(names: list[str], labels: list[Any], *, lists: bool = False) -> Dataset:
    label: Any = ClassLabel(names=names)
    features = Features({"text": Value("string"), "label": Sequence(label) if lists else label})
    rows = {"text": [str(number) for number in range(len(labels))], "label": labels}
    return Dataset.from_dict(rows, features=features)


def aligned(train: Dataset, other: Dataset, needed: set[str] | None = None) -> Any:
    raw = DatasetDict(train=train, validation=other)
    return headers.as_train(TASK, raw, needed or {"train", "validation"})["validation"]


def test_a_class_that_a_split_lacks_moves_no_other() -> None:
    found = aligned(split(TRAIN, [0, 1, 2]), split(["neg", "pos"], [1, 0, -1, None]))
    assert found["label"][:] == [2, 0, -1, None]
    assert found.features["label"].names == TRAIN


def test_tags_are_numbered_as_in_train() -> None:
    train = split(["O", "B-x", "I-x"], [[0, 1, 2]], lists=True)
    found = aligned(train, split(["B-x", "O"], [[1, 0], []], lists=True))
    assert found["label"][:] == [[0, 1], []]


def test_a_class_that_train_lacks_is_refused_where_rows_are_needed() -> None:
    train, other = split(["neg", "pos"], [0, 1]), split(TRAIN, [0, 2])
    with pytest.raises(DataError, match=r"neu.*, which that of train lacks"):
        aligned(train, other)
    assert aligned(train, other, {"train"})["label"][:] == [0, 2]


def test_rows_as_they_stand_in_the_data_have_trains_classes(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    split(TRAIN, [0, 1, 2]).to_parquet(folder / "train.parquet")
    split(["neg", "pos"], [1, 0]).to_parquet(folder / "validation.parquet")
    task = TASK.model_copy(update={"dataset": str(folder)})
    assert rows.raw(task, tmp_path / "cache", "validation", [0, 1])["label"][:] == [2, 0]
