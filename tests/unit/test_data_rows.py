"""Rows and columns that cannot be used: counted and told of, or refused with the place."""

import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import ClassLabel, Dataset, Features, Value

from jpqd.core.errors import DataError
from jpqd.data import cuts, preflight, splits
from jpqd.recipe.task import NewModel, build
from tests.helpers.data_fixtures import (
    Listener,
    contents,
    distinct,
    folder,
    prepare,
    sentences,
    tokenizer,
    write,
)


def test_unusable_rows_are_counted_and_told(tmp_path: Path) -> None:
    rows = distinct(200)
    rows[10]["text"], rows[20]["text"] = "", None
    rows[30]["label"] = None
    listener = Listener()
    place = folder(tmp_path, train=rows[10:], validation=rows[:10])
    prepared = prepare(place, listener, max_unusable=0.02)
    assert prepared.rows["train"]["unusable"] == 3
    assert sum(prepared.rows[split]["used"] for split in ("train", "select")) == 187
    assert [w.split(" rows")[0] for w in listener.warned] == ["train: 3"]


def test_every_preparation_tells_of_unusable_rows_also_from_the_cache(tmp_path: Path) -> None:
    rows = [*distinct(200), {"text": "good", "label": None}]
    place = folder(tmp_path, train=rows)
    listeners = [Listener(), Listener()]
    for listener in listeners:
        prepare(place, listener)
    assert listeners[0].warned == listeners[1].warned != []


@pytest.mark.parametrize("scores", ["one,two\n%s,film", "one,two,score\n%s,film,"])
def test_train_needs_no_scores_of_pairs_because_none_is_learnt(tmp_path: Path, scores: str) -> None:
    header, row = scores.split("\n")
    lines = [header, *(row % f"good {number}" for number in range(40))]
    write(tmp_path / "data" / "train.csv", "\n".join(lines))
    write(tmp_path / "data" / "validation.csv", "one,two,score\ngood,film,0.5\nbad,film,0.25\n")
    given = {"use": "embedding", "name": "pairs", "text": ["one", "two"], "label": "score"}
    task = build({**given, "dataset": str(tmp_path / "data")})
    preflight.check(NewModel(new="bert"), task)
    data = splits.prepare(task, tokenizer(), tmp_path / "cache", Listener())
    assert data.rows["train"] == {"used": 38, "unusable": 0}
    assert np.isnan(splits.column(data.split("train"), "labels")).all()
    assert data.split("validation")["labels"][:] == [0.5, 0.5, 0.25, 0.25]
    cut = task.model_copy(update={"report_on": "test"})
    with pytest.raises(DataError, match="score"):  # nothing else could have a score
        splits.prepare(cut, tokenizer(), tmp_path / "cache", Listener())


@pytest.mark.parametrize("split", ["train", "validation", "select"])
def test_whether_data_is_refused_does_not_depend_on_how_it_is_cut(
    tmp_path: Path, split: str
) -> None:
    """One bad row in 200 is few, wherever the cuts would have put it."""
    rows = distinct(200)
    cut_there = contents(prepare(folder(tmp_path, train=rows)), split)[0]
    spelled = [tuple(tokenizer()(row["text"])["input_ids"]) for row in rows]
    rows[spelled.index(cut_there)]["text"] = " "
    assert prepare(folder(tmp_path, train=rows)).rows["train"]["unusable"] == 1


def test_too_many_unusable_rows_are_refused_with_the_first_of_the_file(tmp_path: Path) -> None:
    rows = distinct(1500)
    for bad in range(1234, 1300):
        rows[bad]["text"] = ""
    with pytest.raises(DataError) as caught:
        prepare(folder(tmp_path, train=rows))
    message = str(caught.value)
    assert "split 'train': 66 of 1500 rows" in message
    assert "more than max_unusable 1.0%" in message
    assert "row 1235 (text: '', label: 0)" in message
    assert "raise task.max_unusable" in message


def test_a_second_text_that_is_empty_makes_a_row_unusable(tmp_path: Path) -> None:
    rows = [{"a": "good", "b": "film" if i else "", "label": i % 2} for i in range(200)]
    prepared = prepare(folder(tmp_path, train=rows), text=("a", "b"))
    assert prepared.rows["train"]["unusable"] == 1


def test_labels_that_train_lacks_are_refused_with_the_label(tmp_path: Path) -> None:
    unknown = [{"text": "good", "label": "neutral"}]
    known = [{"text": "good", "label": ("pos", "neg")[i % 2]} for i in range(20)]
    with pytest.raises(DataError, match=r"'validation': 1 of 21.*train knows.*row 21.*'neutral'"):
        prepare(folder(tmp_path, train=known, validation=known + unknown))


def test_a_long_text_does_not_flood_the_message(tmp_path: Path) -> None:
    rows = [{"text": "good " * 10_000, "label": None}, *distinct(10)]
    with pytest.raises(DataError) as caught:
        prepare(folder(tmp_path, train=rows))
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize("label", [None, -1])
def test_a_test_split_with_secret_labels_is_left_out_and_told_of(
    tmp_path: Path, label: int | None
) -> None:
    features = Features({"text": Value("string"), "label": ClassLabel(names=["neg", "pos"])})
    for split, values in (("train", [0, 1] * 20), ("test", [label] * 7)):
        columns = {"text": ["good film"] * len(values), "label": values}
        place = tmp_path / "data" / f"{split}.parquet"
        place.parent.mkdir(exist_ok=True)
        Dataset.from_dict(columns, features=features).to_parquet(str(place))
    listener = Listener()
    prepared = prepare(tmp_path / "data", listener)
    assert prepared.kind.names == ("neg", "pos")
    assert prepared.rows["test"] == {"used": 0, "unusable": 7}
    assert listener.warned[0].startswith("test: 7 rows")
    with pytest.raises(DataError, match="'test' has no row with both text and label"):
        prepared.split("test")


def test_a_test_split_without_a_label_column_is_told_of(tmp_path: Path) -> None:
    listener = Listener()
    place = folder(tmp_path, train=distinct(50), test=[{"text": "good"}] * 5)
    assert prepare(place, listener).rows["test"] == {"used": 0, "unusable": 5}
    assert listener.warned[0].startswith("test: 5 rows")


def test_a_reported_split_with_secret_labels_is_refused(tmp_path: Path) -> None:
    secret = [{"text": "good", "label": None}] * 5
    place = folder(tmp_path, train=distinct(50), test=secret)
    asked: list[dict[str, Any]] = [{"report_on": "test"}, {"select_on": "test"}]
    for settings in asked:
        with pytest.raises(DataError, match="'test': 5 of 5 rows"):
            prepare(place, **settings, max_unusable=1.0)


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"text": ("sentence",)}, "'train' has no column 'sentence'.*(?i:known: label, text)"),
        ({"text": ("texts",)}, "no column 'texts'.*(?i:did you mean 'text')"),
        ({"label": "lable"}, "no column 'lable'.*(?i:did you mean 'label')"),
        ({"text": ("text", "other")}, "no column 'other'"),
    ],
)
def test_a_missing_column_is_refused_with_those_there_are(
    tmp_path: Path, settings: dict[str, Any], problem: str
) -> None:
    with pytest.raises(DataError, match=problem):
        prepare(folder(tmp_path, train=distinct(10)), **settings)


def test_a_reported_split_without_the_label_column_is_refused(tmp_path: Path) -> None:
    place = folder(tmp_path, train=distinct(10), validation=[{"text": "good"}])
    with pytest.raises(DataError, match="split 'validation' has no column 'label'"):
        prepare(place)


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("text", [["good", "film"], ["bad"]]),
        ("text", ["2024-01-01", "2024-01-02"]),
        ("text", [{"en": "good"}, {"en": "bad"}]),
        ("label", [[0, 1], [1]]),
        ("label", [0, "one"]),
    ],
)
def test_columns_that_are_no_texts_or_labels_are_refused(
    tmp_path: Path, column: str, values: list[Any]
) -> None:
    rows = [{"text": "good", "label": 1} | {column: value} for value in values]
    with pytest.raises(DataError, match=f"'train': column '{column}' holds"):
        prepare(folder(tmp_path, train=rows))


def test_a_sample_of_train_is_always_the_same_and_counts_no_other_split(tmp_path: Path) -> None:
    place = folder(tmp_path, train=distinct(200), validation=distinct(20))
    first, second = (prepare(place, train_rows=50) for _ in range(2))
    assert first.rows["train"]["used"] == 50
    assert first.of_train == 200
    assert first.rows["validation"]["used"] == 20
    assert first.split("train")["row"] == second.split("train")["row"]
    whole = prepare(place)
    assert set(first.split("train")["row"]) < set(whole.split("train")["row"])
    assert first.split("select")["row"] == whole.split("select")["row"]


def test_a_cell_without_end_is_named_before_it_fills_the_memory(tmp_path: Path) -> None:
    text = 'text,label\ngood,1\n"' + "never closed\n" * 100_000
    write(tmp_path / "data" / "train.csv", text)
    with pytest.raises(DataError, match=r"train\.csv, line \d+: .*1,000,000 letters; a quote"):
        prepare(tmp_path / "data")


def test_a_line_without_end_is_named(tmp_path: Path) -> None:
    row = '{"text": "' + "x" * 11_000_000 + '", "label": 1}\n'
    write(tmp_path / "data" / "train.jsonl", '{"text": "a", "label": 0}\n' + row)
    with pytest.raises(DataError, match=r"line 2: 11 MB in one line, more than 10 MB"):
        prepare(tmp_path / "data")


def test_texts_that_are_cut_are_counted(tmp_path: Path) -> None:
    rows = [{"text": "good " * (3 if i % 4 else 30), "label": i % 2} for i in range(80)]
    listener = Listener()
    data = prepare(folder(tmp_path, train=rows, validation=rows), listener, max_length=16)
    assert data.truncated["validation"] == 0.25
    assert data.facts()["truncated"]["validation"] == 0.25
    assert "    validation: 25.0% of the texts are cut at 16 tokens" in listener.said


def test_nothing_is_said_where_nothing_is_cut(tmp_path: Path) -> None:
    listener = Listener()
    data = prepare(folder(tmp_path, train=sentences(80)), listener)
    assert set(data.truncated.values()) == {0.0}
    assert not any("cut at" in line for line in listener.said)


def test_a_tokenizer_that_does_not_know_the_texts_is_warned_of(tmp_path: Path) -> None:
    rows = [{"text": "good film" + " nowhere" * (i % 4 == 0), "label": i % 2} for i in range(80)]
    listener = Listener()
    data = prepare(folder(tmp_path, train=rows, validation=rows), listener)
    assert data.facts()["unknown"]["validation"] == 20 / 180
    (warning,) = [one for one in listener.warned if "unknown" in one]
    assert "of the tokens are unknown to the model's tokenizer" in warning


def test_a_few_unknown_words_are_only_counted(tmp_path: Path) -> None:
    rows = [{"text": "good film" + " nowhere" * (i == 0), "label": i % 2} for i in range(80)]
    listener = Listener()
    data = prepare(folder(tmp_path, train=rows, validation=rows), listener)
    assert data.unknown["validation"] == 1 / 161
    assert not [one for one in listener.warned if "unknown" in one]


def test_texts_that_stand_in_train_too_are_warned_of(tmp_path: Path) -> None:
    twice = [row for row in distinct(100) for _ in range(2)]
    listener = Listener()
    prepare(folder(tmp_path / "a", train=twice), listener)
    chosen, reported = listener.warned
    assert reported.startswith("validation: ") and "stand in train too" in reported
    assert chosen.startswith("select: ")
    listener = Listener()
    prepare(folder(tmp_path / "b", train=distinct(200)), listener)
    assert listener.warned == []


def test_rows_are_cut_by_query_whatever_the_longest_takes() -> None:
    queries = [f"query {number % 40}" for number in range(200)]
    wanted = np.unique(queries, return_inverse=True)[1]
    assert np.array_equal(cuts._numbered(queries), wanted)
    long = ["q" * 20_000, *queries * 100]
    tracemalloc.start()
    cuts._numbered(long)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20e6  # an array of texts has 80 kB for each
