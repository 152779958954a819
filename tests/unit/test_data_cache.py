"""Tokenized data is kept, and never used where it no longer fits."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from jpqd.core.errors import DataError
from jpqd.data import splits, tables
from tests.helpers.data_fixtures import (
    Listener,
    contents,
    distinct,
    folder,
    prepare,
    task,
    tokenizer,
)


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Grows each time that raw rows are read, that is: each time the cache was missed."""
    seen: list[str] = []
    load = tables.load

    def counting(*arguments: Any) -> Any:
        seen.append("load")
        return load(*arguments)

    monkeypatch.setattr(tables, "load", counting)
    return seen


def test_the_second_time_comes_from_the_cache(tmp_path: Path, loads: list[str]) -> None:
    place = folder(tmp_path, train=distinct(40))
    first, second = prepare(place), prepare(place)
    assert len(loads) == 1
    assert second.rows == first.rows
    assert second.kind == first.kind
    assert second.held_out == first.held_out
    assert contents(second, "train") == contents(first, "train")


def test_a_tokenizer_that_was_used_is_still_the_same(tmp_path: Path, loads: list[str]) -> None:
    place, words = folder(tmp_path, train=distinct(40)), tokenizer()
    for _ in range(2):
        splits.prepare(task(place), words, tmp_path / "cache", Listener())
        words(["good", "bad film"], padding=True, truncation=True, max_length=5)
    assert len(loads) == 1


@pytest.mark.parametrize(
    "settings", [{"max_length": 64}, {"holdout": 0.2}, {"select_on": 0.1}, {"max_unusable": 0.5}]
)
def test_other_settings_are_prepared_anew(
    tmp_path: Path, loads: list[str], settings: dict[str, Any]
) -> None:
    place = folder(tmp_path, train=distinct(40))
    prepare(place)
    prepare(place, **settings)
    assert len(loads) == 2


def test_another_name_or_metric_changes_no_token(tmp_path: Path, loads: list[str]) -> None:
    place = folder(tmp_path, train=distinct(40))
    prepare(place)
    prepare(place, metric="f1")
    prepare(place, name="other")
    assert len(loads) == 1


def test_changed_files_are_prepared_anew(tmp_path: Path) -> None:
    assert prepare(folder(tmp_path, train=distinct(40))).rows["train"]["used"] == 34
    assert prepare(folder(tmp_path, train=distinct(80))).rows["train"]["used"] == 68


def test_another_tokenizer_is_prepared_anew(tmp_path: Path) -> None:
    place = folder(tmp_path, train=[{"text": "great", "label": i % 2} for i in range(20)])
    tokens = [
        splits.prepare(task(place), words, tmp_path / "cache", Listener()).split("train")[0]
        for words in (tokenizer(), tokenizer("great"))
    ]
    assert [row["input_ids"] for row in tokens] == [[2, 1, 3], [2, 10, 3]]


def test_what_a_killed_preparation_left_behind_is_not_used(
    tmp_path: Path, loads: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    place = folder(tmp_path, train=distinct(40))

    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr("jpqd.core.artifact.close", killed)
        prepare(place)
    assert prepare(place).rows["train"]["used"] == 34
    assert len(loads) == 2
    assert not list((tmp_path / "cache").glob("*.partial"))


def test_a_cache_folder_without_its_facts_is_made_anew(tmp_path: Path, loads: list[str]) -> None:
    place = folder(tmp_path, train=distinct(40))
    prepare(place)
    (made,) = (path for path in (tmp_path / "cache").glob("data-*") if path.is_dir())
    (made / "data.json").unlink()
    shutil.rmtree(made / "train")
    assert prepare(place).rows["train"]["used"] == 34
    assert len(loads) == 2


def test_a_refused_dataset_leaves_no_cache_behind(tmp_path: Path, loads: list[str]) -> None:
    place = folder(tmp_path, train=[{"text": "good", "label": 1}] * 5)
    for _ in range(2):
        with pytest.raises(DataError, match="every row has the label"):
            prepare(place)
    assert len(loads) == 2


def damage(cache: Path, pattern: str, change: Any) -> Path:
    path = max(cache.rglob(pattern), key=lambda found: found.stat().st_size)
    path.write_bytes(change(bytearray(path.read_bytes())))
    return path


def flip(content: bytearray) -> bytearray:
    content[len(content) // 2] ^= 1
    return content


def cut(content: bytearray) -> bytearray:
    return content[:-20]


@pytest.mark.parametrize("harm", [flip, cut])
@pytest.mark.parametrize(
    "file", ["data-*/*/*.arrow", "data-*/data.json", "data-*/manifest.json", "data-*/*.json"]
)
def test_a_damaged_entry_is_made_anew_and_says_so(
    tmp_path: Path, loads: list[str], file: str, harm: Any
) -> None:
    place = folder(tmp_path, train=distinct(40))
    expected = contents(prepare(place), "train")
    damage(tmp_path / "cache", file, harm)
    listener = Listener()
    assert contents(prepare(place, listener), "train") == expected
    assert len(loads) == 2
    (told,) = listener.warned
    assert "in the cache is damaged" in told and "is made anew" in told


@pytest.mark.parametrize("harm", [flip, cut])
@pytest.mark.parametrize("file", ["tables/*/**/*.arrow", "tables/*/**/dataset_info.json"])
def test_a_damaged_table_is_read_again(tmp_path: Path, file: str, harm: Any) -> None:
    place = folder(tmp_path, train=distinct(40))
    expected = contents(prepare(place), "train")
    damage(tmp_path / "cache", file, harm)
    listener = Listener()
    again = splits.prepare(
        task(place, max_length=64), tokenizer(), tmp_path / "cache", listener
    )  # another length: the table is read from its own entry
    assert contents(again, "train") == expected
    assert "in the cache is damaged" in listener.warned[0]
