"""From files to tokenized splits: what a row becomes, and cuts that are honest."""

from pathlib import Path
from typing import Any

import pytest

from jpqd.core.errors import DataError
from jpqd.data import splits
from tests.helpers.data_fixtures import (
    Listener,
    contents,
    distinct,
    folder,
    prepare,
    sentences,
    task,
    tokenizer,
    write,
    write_rows,
)


def test_texts_become_tokens_with_their_length_and_label(tmp_path: Path) -> None:
    rows = [{"text": "good film", "label": "pos"}, {"text": "bad", "label": "neg"}] * 4
    place = folder(tmp_path, train=rows, validation=rows)
    row = prepare(place, select_on=0.5).split("validation")[0]
    assert row == {"input_ids": [2, 5, 7, 3], "length": 4, "labels": 1, "row": 0}


def test_two_texts_are_told_apart_by_their_type(tmp_path: Path) -> None:
    rows = [{"a": "good film", "b": "bad", "label": i % 2} for i in range(8)]
    place = folder(tmp_path, train=rows, validation=rows)
    row = prepare(place, text=("a", "b"), select_on=0.5).split("validation")[0]
    assert row["input_ids"] == [2, 5, 7, 3, 6, 3]
    assert row["token_type_ids"] == [0, 0, 0, 0, 1, 1]


def test_long_texts_are_cut_to_max_length(tmp_path: Path) -> None:
    place = folder(tmp_path, train=[{"text": "good " * 50, "label": i % 2} for i in range(8)])
    train = prepare(place, max_length=10).split("train")
    assert set(train["length"]) == {10}


def test_more_tokens_than_the_model_reads_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"task\.max_length is 513.*at most 512\. Set"):
        prepare(folder(tmp_path, train=sentences(20)), max_length=513)


def test_numbers_are_read_as_text(tmp_path: Path) -> None:
    rows = [{"text": i, "label": i % 2} for i in range(20)]
    assert len(prepare(folder(tmp_path, train=rows)).split("train")) == 17


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl", ".json", ".parquet"])
def test_every_format_gives_the_same_tokens(tmp_path: Path, suffix: str) -> None:
    rows = [{"text": row["text"], "label": str(row["label"])} for row in distinct(30)]
    expected = prepare(write_rows(tmp_path / "expected" / "train.csv", rows))
    found = prepare(write_rows(tmp_path / "found" / f"train{suffix}", rows))
    for split in ("train", "validation", "select"):
        assert found.split(split).to_list() == expected.split(split).to_list()


def test_measures_are_floats(tmp_path: Path) -> None:
    place = write(
        tmp_path / "train.tsv", "text\tlabel\n" + "good\t3.80\nbad\t0.5\nvery\t5.000\n" * 5
    )
    prepared = prepare(place)
    assert prepared.kind.use == "regression"
    assert set(prepared.split("train")["labels"]) == {3.8, 0.5, 5.0}


def test_the_built_in_reviews_are_ready(tmp_path: Path) -> None:
    asked = task("builtin:reviews", labels=("negative", "positive"))
    prepared = splits.prepare(asked, tokenizer(), tmp_path, Listener())
    assert {split: rows["used"] for split, rows in prepared.rows.items()} == {
        "train": 11_400,
        "validation": 2_000,
        "select": 600,
    }


def test_without_a_validation_split_one_is_cut_and_told_of(tmp_path: Path) -> None:
    listener = Listener()
    prepared = prepare(folder(tmp_path, train=distinct(200)), listener)
    parts = [contents(prepared, split) for split in ("train", "validation", "select")]
    assert [len(part) for part in parts] == [171, 20, 9]
    assert len({row for part in parts for row in part}) == 200
    assert prepared.held_out == ("validation", "select")
    assert "validation 20 rows (cut from train)" in listener.said[0]


def test_the_cut_is_the_same_every_time_and_everywhere(tmp_path: Path) -> None:
    first = prepare(folder(tmp_path / "a", train=distinct(100)))
    second = prepare(folder(tmp_path / "b", train=distinct(100)))
    for split in ("train", "validation", "select"):
        assert contents(first, split) == contents(second, split)


def test_choosing_takes_rows_of_train_and_none_that_are_reported(tmp_path: Path) -> None:
    rows = distinct(150)
    prepared = prepare(folder(tmp_path, train=rows[:100], validation=rows[100:]))
    chooses, trains = set(contents(prepared, "select")), set(contents(prepared, "train"))
    assert (len(chooses), len(trains)) == (5, 95)
    assert not (chooses | trains) & set(contents(prepared, "validation"))
    assert prepared.held_out == ("select",)


def test_another_split_may_choose(tmp_path: Path) -> None:
    rows = distinct(140)
    place = folder(tmp_path, train=rows[:100], validation=rows[100:120], test=rows[120:])
    prepared = prepare(place, report_on="test", select_on="validation")
    assert contents(prepared, "select") == contents(prepared, "validation")
    assert len(prepared.split("train")) == 100
    assert prepared.held_out == ()


@pytest.mark.parametrize(
    "settings", [{"report_on": "dev"}, {"report_on": "test", "select_on": "dev"}]
)
def test_a_recipe_may_call_the_validation_split_dev(
    tmp_path: Path, settings: dict[str, Any]
) -> None:
    rows = distinct(140)
    place = folder(tmp_path, train=rows[:100], dev=rows[100:120], test=rows[120:])
    prepared = prepare(place, **settings)
    assert len(prepared.split("dev")) == 20
    assert "validation" not in prepared.held_out


def test_the_split_that_chooses_may_not_be_reported_under_another_name(tmp_path: Path) -> None:
    place = folder(tmp_path, train=distinct(50), dev=distinct(10))
    with pytest.raises(DataError, match="both the split 'validation'"):
        prepare(place, report_on="validation", select_on="dev")


def test_an_unknown_split_to_choose_on_is_refused(tmp_path: Path) -> None:
    place = folder(tmp_path, train=distinct(50), validation=distinct(10), test=distinct(10))
    with pytest.raises(DataError, match=r"no split 'tset'.*(?i:did you mean 'test')"):
        prepare(place, select_on="tset")


def test_a_split_called_select_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be called 'select'"):
        prepare(folder(tmp_path, train=distinct(50), select=distinct(10)))
    with pytest.raises(DataError, match="cannot be called 'select'"):
        prepare(folder(tmp_path, train=distinct(50)), report_on="select")


def test_asking_for_a_split_that_is_not_there_says_which_are(tmp_path: Path) -> None:
    prepared = prepare(folder(tmp_path, train=distinct(50)))
    with pytest.raises(DataError, match=r"no split 'test'.*select, train, validation"):
        prepared.split("test")


def test_data_without_train_is_refused(tmp_path: Path) -> None:
    place = folder(tmp_path, validation=distinct(10), test=distinct(10))
    with pytest.raises(DataError, match="no split 'train'; the data has test, validation"):
        prepare(place)


@pytest.mark.parametrize("count", [2, 3, 5])
def test_tiny_data_works_or_says_that_it_is_too_small(tmp_path: Path, count: int) -> None:
    place = folder(tmp_path, train=distinct(count))
    if count == 2:
        with pytest.raises(DataError, match=r"1 rows of train are too few.*Add rows"):
            prepare(place)
    else:
        rows = prepare(place).rows
        assert [rows[split]["used"] for split in ("train", "validation", "select")] == [
            count - 2,
            1,
            1,
        ]
