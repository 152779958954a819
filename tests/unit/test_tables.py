"""Files become rows exactly as they stand there, or one sentence says why not."""

import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import DatasetDict

from jpqd.core.errors import DataError, UserError
from jpqd.data import tables
from tests.helpers.data_fixtures import sentences, task, write, write_rows

ROWS = [{"text": "good film", "label": "pos"}, {"text": "bad film", "label": "neg"}]
FORMATS = [".csv", ".tsv", ".jsonl", ".json", ".parquet"]


def load(place: Path, **settings: Any) -> DatasetDict:
    return tables.load(task(place, **settings), place.parent / "cache")


def texts(path: Path) -> list[str]:
    return list(load(path)["train"]["text"])


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_single_file_of_each_format_is_train(tmp_path: Path, suffix: str) -> None:
    found = load(write_rows(tmp_path / f"reviews{suffix}", ROWS))
    assert list(found) == ["train"]
    assert found["train"].to_list() == ROWS


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_folder_holds_a_file_per_split(tmp_path: Path, suffix: str) -> None:
    for split in ("train", "validation", "test"):
        write_rows(tmp_path / "data" / f"{split}{suffix}", [{"text": split, "label": "pos"}])
    found = load(tmp_path / "data")
    assert {split: rows["text"][0] for split, rows in found.items()} == {
        "train": "train",
        "validation": "validation",
        "test": "test",
    }


@pytest.mark.parametrize("name", ["dev", "valid", "val", "Validation", "DEV"])
def test_other_names_of_validation_are_known(tmp_path: Path, name: str) -> None:
    write_rows(tmp_path / "data" / "train.csv", ROWS)
    write_rows(tmp_path / "data" / f"{name}.tsv", ROWS)
    assert set(load(tmp_path / "data")) == {"train", "validation"}


def test_a_map_names_the_file_of_each_split(tmp_path: Path) -> None:
    files = {
        "train": str(write_rows(tmp_path / "a.csv", ROWS)),
        "dev": str(write_rows(tmp_path / "b.jsonl", ROWS[:1])),
    }
    found = tables.load(task(files), tmp_path / "cache")
    assert {split: len(rows) for split, rows in found.items()} == {"train": 2, "validation": 1}


def test_shards_as_the_hub_names_them_are_one_split(tmp_path: Path) -> None:
    for number in range(2):
        name = f"train-{number:05}-of-00002.parquet"
        write_rows(tmp_path / "data" / name, [{"text": f"shard {number}", "label": 1}])
    write_rows(tmp_path / "data" / "validation-00000-of-00001.parquet", [{"text": "v", "label": 1}])
    found = load(tmp_path / "data")
    assert list(found["train"]["text"]) == ["shard 0", "shard 1"]
    assert list(found["validation"]["text"]) == ["v"]


def test_two_files_for_one_split_are_refused(tmp_path: Path) -> None:
    for name in ("train.csv", "dev.csv", "valid.csv"):
        write_rows(tmp_path / "data" / name, ROWS)
    with pytest.raises(DataError, match=r"valid\.csv.*dev\.csv.*'validation'.*Keep one"):
        load(tmp_path / "data")


@pytest.mark.parametrize("folder", ["data[1]", "a*b", "data v2 (final)", "dätä"])
def test_a_folder_may_have_any_name(tmp_path: Path, folder: str) -> None:
    write_rows(tmp_path / folder / "train.csv", ROWS)
    write_rows(tmp_path / folder / "dev.csv", ROWS)
    assert len(load(tmp_path / folder)["train"]) == 2


@pytest.mark.parametrize("suffix", FORMATS)
def test_texts_that_look_like_something_else_stay_text(tmp_path: Path, suffix: str) -> None:
    tricky = ["NA", "null", "None", "nan", "007", "1.50", "true", "#5", "-", "x"]
    path = write_rows(tmp_path / f"train{suffix}", [{"text": t, "label": "1"} for t in tricky])
    assert texts(path) == tricky


def test_quotes_in_a_tsv_are_part_of_the_text(tmp_path: Path) -> None:
    path = write(tmp_path / "train.tsv", 'text\tlabel\n"good" film\t1\na "bad\t0\n5\'6" tall\t1\n')
    assert texts(path) == ['"good" film', 'a "bad', "5'6\" tall"]


def test_quoted_commas_newlines_and_quotes_of_a_csv_are_text(tmp_path: Path) -> None:
    path = write(tmp_path / "train.csv", 'text,label\n"one, two\nthree ""four""",1\nfive,0\n')
    assert texts(path) == ['one, two\nthree "four"', "five"]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("suffix", [".csv", ".tsv"])
def test_a_byte_order_mark_and_line_ends_are_no_part_of_a_name(
    tmp_path: Path, suffix: str, end: str
) -> None:
    separator = "\t" if suffix == ".tsv" else ","
    lines = [separator.join(cells) for cells in (("text", "label"), ("café", "1"))]
    path = write(tmp_path / f"train{suffix}", b"\xef\xbb\xbf" + (end.join(lines) + end).encode())
    assert load(path)["train"].to_list() == [{"text": "café", "label": "1"}]


def test_a_byte_order_mark_in_json_lines_is_no_part_of_a_name(tmp_path: Path) -> None:
    path = write(tmp_path / "train.jsonl", b'\xef\xbb\xbf{"text": "good", "label": 1}\n')
    assert texts(path) == ["good"]


def test_blank_lines_are_no_rows(tmp_path: Path) -> None:
    path = write(tmp_path / "train.csv", "\ntext,label\n\ngood,1\n\nbad,0\n\n")
    assert texts(path) == ["good", "bad"]


def test_an_index_column_without_a_name_does_no_harm(tmp_path: Path) -> None:
    path = write(tmp_path / "train.csv", ",text,label\n0,good,1\n1,bad,0\n")
    train = load(path)["train"]
    assert [list(train["text"]), list(train["label"])] == [["good", "bad"], ["1", "0"]]


@pytest.mark.parametrize("before", [0, 3, 10_000])
@pytest.mark.parametrize(
    ("suffix", "separator", "advice"),
    [(".csv", ",", "in quotes"), (".tsv", "\t", "Remove the tabs")],
)
def test_a_row_with_more_cells_than_the_header_is_refused_with_its_line(
    tmp_path: Path, before: int, suffix: str, separator: str, advice: str
) -> None:
    header, row = separator.join(["text", "label"]), separator.join(["good", "1"])
    long = separator.join(["good", "but long", "1"])
    path = write(tmp_path / f"train{suffix}", "\n".join([header, *[row] * before, long, row]))
    with pytest.raises(DataError, match=rf"line {before + 2}: 3 cells.*text, label.*{advice}"):
        load(path)


def test_a_row_with_fewer_cells_has_an_empty_one(tmp_path: Path) -> None:
    path = write(tmp_path / "train.csv", "text,label\ngood\nbad,0\n")
    assert list(load(path)["train"]["label"]) == ["", "0"]


def test_a_column_named_twice_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "train.csv", "text,label,text\na,1,b\n")
    with pytest.raises(DataError, match=r"'text' more than once: text, label, text\. Rename"):
        load(path)


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl", ".json"])
def test_a_file_in_another_encoding_is_refused_with_its_line(tmp_path: Path, suffix: str) -> None:
    good = write_rows(tmp_path / f"good{suffix}", ROWS).read_bytes()
    path = write(tmp_path / f"train{suffix}", good + "\n{}café\n".encode("latin-1"))
    with pytest.raises(DataError, match=r"line \d+: not UTF-8.*Save the file as UTF-8"):
        load(path)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("train.parquet", b"text,label\na,1\n"),
        ("train.jsonl", b"text,label\na,1\n"),
        ("train.jsonl", b'{"text": "a", "label": 1}\n{"text": "a", "la\n'),
        ("train.jsonl", b'"just"\n"strings"\n'),
        ("train.csv", b'text,label\n"never closed,1\n'),
        ("train.csv", b"PK\x03\x04\x00\xff\xfe"),
        ("train.tsv", b"PAR1\x15\x04\x15\x80\n"),
    ],
)
def test_a_file_that_is_not_what_its_ending_says_is_refused(
    tmp_path: Path, name: str, content: bytes
) -> None:
    path = write(tmp_path / name, content)
    with pytest.raises(DataError) as caught:
        load(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("suffix", FORMATS)
def test_an_empty_file_is_refused(tmp_path: Path, suffix: str) -> None:
    with pytest.raises(DataError, match="the file is empty"):
        load(write(tmp_path / f"train{suffix}", ""))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("train.csv", "text,label\n"),
        ("train.csv", "text,label"),
        ("train.tsv", "text\tlabel\n\n"),
        ("train.jsonl", "\n"),
        ("train.json", "[]"),
    ],
)
def test_a_file_without_rows_is_refused(tmp_path: Path, name: str, content: str) -> None:
    with pytest.raises(DataError, match="has no rows"):
        load(write(tmp_path / name, content))


def test_parquet_without_rows_is_refused(tmp_path: Path) -> None:
    empty = pa.table({"text": pa.array([], pa.string()), "label": pa.array([], pa.int64())})
    pq.write_table(empty, tmp_path / "train.parquet")
    with pytest.raises(DataError, match="has no rows"):
        load(tmp_path / "train.parquet")


def test_a_broken_file_is_told_of_once(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(DataError):
        load(write(tmp_path / "train.jsonl", '{"text": "a", "la\n'))
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("place", "problem"),
    [
        ("nowhere", "no such file or folder"),
        ("nothing", "Put one file per split there"),
        ("notes.txt", "expected one of"),
    ],
)
def test_a_place_without_data_is_refused(tmp_path: Path, place: str, problem: str) -> None:
    (tmp_path / "nothing").mkdir()
    write(tmp_path / "notes.txt", "text,label\na,1\n")
    with pytest.raises(UserError, match=problem):
        load(tmp_path / place)


def test_new_content_is_read_even_when_size_and_time_stay_the_same(tmp_path: Path) -> None:
    path = write(tmp_path / "train.csv", "text,label\ngood,1\n")
    before = path.stat().st_mtime_ns
    assert texts(path) == ["good"]
    write(path, "text,label\nevil,1\n")
    os.utime(path, ns=(before, before))
    assert texts(path) == ["evil"]


def test_a_large_file_is_read_whole(tmp_path: Path) -> None:
    rows = sentences(25_000)
    assert texts(write_rows(tmp_path / "train.csv", rows)) == [row["text"] for row in rows]


def test_the_built_in_reviews_have_two_splits() -> None:
    found = tables.load(task("builtin:reviews"), Path())
    assert {split: len(rows) for split, rows in found.items()} == {
        "train": 12_000,
        "validation": 2_000,
    }
