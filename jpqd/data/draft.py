"""A recipe drafted from a data file: its columns of texts and labels, and how long texts are."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from jpqd import tasks
from jpqd.core import cells
from jpqd.core.errors import DataError
from jpqd.data import conll, preflight, sources

_ROWS = 20_000
"""The rows that are looked at."""
_LABELS = ("label", "labels", "class", "category", "target", "gold_label", "sentiment", "intent",
           "score", "stars", "rating", "tags")  # fmt: skip
_PAIRS = (("sentence1", "sentence2"), ("premise", "hypothesis"), ("question", "answer"),
          ("question", "sentence"), ("query", "passage"), ("text_a", "text_b"))  # fmt: skip
_TEXTS = ("text", "sentence", "review", "comment", "content", "body", "title", "question")
_FEW, _RARE, _LONGEST = 50, 0.05, 512

Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class Draft:
    """The findings in a file, each of which a person may correct."""

    kind: str
    text: tuple[str, ...]
    label: str
    labels: Counter[str]
    """The rows of each label; empty where labels are numbers."""
    max_length: int
    measured_in: str
    rows: int
    doubts: tuple[str, ...]


def draft(model: str, train: Path, validation: Path | None) -> Draft:
    rows = read(train)
    found = _of_vectors(rows) if tasks.pools(Path(model).expanduser()) else None
    kind, text, label = found or _columns(train, rows)
    counts = Counter(cells.as_text(row[label]) for row in rows if _is_label(row.get(label)))
    numbers = kind in ("regression", "embedding")
    length, unit = longest(model, rows, text)
    doubts = tuple(_doubts(rows, text, {} if kind != "classification" else counts, validation))
    labels: Counter[str] = Counter() if numbers or kind == "token_classification" else counts
    return Draft(kind, text, label, labels, length, unit, len(rows), doubts)


def read(path: Path) -> Rows:
    """Read the first rows of a file, without the libraries that a training needs."""
    path = sources.local_file(str(path))
    try:
        rows = list(islice(_rows(path), _ROWS))
    except (ValueError, csv.Error, OSError) as error:
        raise DataError(f"{path}: cannot be read as {path.suffix}: {error}") from None
    if not rows:
        raise DataError(f"{path}: the file has no rows.")
    for number, row in enumerate(rows, 1):
        if not isinstance(row, dict):
            raise DataError(f"{path}: row {number} is {row!r:.60}, and no map of columns.")
    names = list(dict.fromkeys(name for row in rows for name in row if name))
    return [{name: row.get(name) for name in names} for row in rows]


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    kind = path.suffix.lower()
    if kind == ".conll":
        columns = conll.read(path)
        yield from (
            dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)
        )
    elif kind == ".parquet":
        from pyarrow import parquet

        for batch in parquet.ParquetFile(path).iter_batches(1000):
            yield from batch.to_pylist()
    elif kind == ".json":
        text = path.read_text(encoding="utf-8-sig")
        whole = text.lstrip().startswith("[")
        lines = filter(str.strip, text.split("\n"))  # texts may hold other ends of lines
        yield from json.loads(text) if whole else map(json.loads, lines)
    else:
        with path.open(encoding="utf-8-sig", newline="") as file:
            if kind == ".jsonl":
                yield from (json.loads(line) for line in file if line.strip())
            else:
                csv.field_size_limit(preflight.LONGEST_CELL)
                yield from csv.DictReader(file, **preflight.separated(kind))


def _columns(path: Path, rows: Rows) -> tuple[str, tuple[str, ...], str]:
    """Guess the kind of task, its text columns and its label column."""
    lists = [name for name in rows[0] if name and isinstance(rows[0][name], list)]
    if tagged := _tagged(rows, lists):
        return "token_classification", (tagged[0],), tagged[1]
    names = [name for name in rows[0] if name and name not in lists]
    label = label_among(rows, names)
    if named(lists) and not named(names):
        raise DataError(
            f"{path}: {named(lists)!r} holds several labels a text, which no kind of task has. "
            "Give a file with one label in each row."
        )
    others = [name for name in names if name != label]
    if not label or not others:
        advice = preflight.other_separator(names) or f"there are {', '.join(rows[0])}."
        raise DataError(f"{path}: it takes a column of texts and one of labels; {advice}")
    values = [row[label] for row in rows if not cells.is_missing(row[label])]
    return _kind(values), texts_among(rows, others), label


def _tagged(rows: Rows, lists: list[str]) -> tuple[str, str] | None:
    """Find a column of words and one of their tags: two lists, as long in most of the rows."""
    tags = named(lists) or (lists[-1] if lists else "")
    for words in lists:
        alike = sum(_as_long(row[words], row[tags]) for row in rows)
        if words != tags and alike > len(rows) / 2:
            return words, tags
    return None


def _as_long(words: Any, tags: Any) -> bool:
    return isinstance(words, list) and isinstance(tags, list) and len(words) == len(tags)


def _of_vectors(rows: Rows) -> tuple[str, tuple[str, ...], str] | None:
    """Find texts, and the scores of pairs where there are both; None where rows have classes."""
    names = [name for name in rows[0] if name]
    text = texts_among(rows, names)
    others = [name for name in names if name not in text]
    usual = _by_name(others)
    called = [usual[name] for name in _LABELS if name in usual]
    found = {one: [row[one] for row in rows if not cells.is_missing(row[one])] for one in called}
    known = [one for one in called if found[one]]
    scores = [one for one in known if all(cells.as_float(cell) is not None for cell in found[one])]
    if known and not (len(text) == 2 and scores):
        return None
    return "embedding", text, scores[0] if scores else ""


def texts_among(rows: Rows, names: Sequence[str]) -> tuple[str, ...]:
    """Guess the one or two columns of texts."""
    usual = _by_name(names)
    pair = next(((usual[a], usual[b]) for a, b in _PAIRS if {a, b} <= usual.keys()), None)
    one = next((usual[name] for name in _TEXTS if name in usual), None)
    return pair or (one or _widest(rows, names),)


def label_among(rows: Rows, names: Sequence[str]) -> str:
    """Guess the column of labels, by its name or by how few values it has."""
    return named(names) or _fewest(rows, names)


def named(names: Sequence[str]) -> str:
    """Find a column that is called what labels usually are, however it is written."""
    usual = _by_name(names)
    return next((usual[name] for name in _LABELS if name in usual), "")


def _by_name(names: Sequence[str]) -> dict[str, str]:
    """Find columns by their names in small letters, the first of those that are alike."""
    return {name.casefold(): name for name in reversed(names)}


def _kind(values: Sequence[Any]) -> str:
    numbers = [cells.as_float(value) for value in values]
    fractions = any(number is not None and number % 1 for number in numbers)
    return "regression" if fractions and None not in numbers else "classification"


def _fewest(rows: Rows, names: Sequence[str]) -> str:
    """Name the column with the fewest different values, where these are few."""
    sizes = {name: len({str(row[name]) for row in rows}) for name in names}
    varied = [name for name in names if sizes[name] > 1]
    found = min(varied, key=lambda name: (sizes[name], -names.index(name)), default="")
    return found if found and sizes[found] <= min(_FEW, len(rows) // 2) else ""


def _widest(rows: Rows, names: Sequence[str]) -> str:
    return max(names, key=lambda name: sum(len(str(row[name])) for row in rows[:1000]))


def _is_label(value: Any) -> bool:
    return not isinstance(value, list) and not cells.is_missing(value)


def longest(model: str, rows: Rows, text: Sequence[str]) -> tuple[int, str]:
    """Return the length that 99 of 100 texts keep, a multiple of 16, and what it counts."""
    texts = [" ".join(_words(row[column]) for column in text) for row in rows]
    words = Path(model).expanduser() / "tokenizer.json"
    if words.is_file():
        from tokenizers import Tokenizer

        tokenizer, unit = Tokenizer.from_file(str(words)), "pieces of this model's tokenizer"
        tokenizer.no_truncation()
        tokenizer.no_padding()
        lengths = [len(one.ids) for one in tokenizer.encode_batch(texts)]
    else:
        lengths, unit = [2 + 3 * len(one.split()) // 2 for one in texts], "words, times 1.5"
    usual = sorted(lengths)[int(0.99 * (len(lengths) - 1))]
    return min(_most(model), max(16, -(-usual // 16) * 16)), unit


def _most(model: str) -> int:
    """Return the most tokens that the model takes, as far as its folder says so."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        config = (Path(model).expanduser() / "tokenizer_config.json").read_text(encoding="utf-8")
        return min(_LONGEST, int(json.loads(config)["model_max_length"]))
    return _LONGEST


def _words(cell: Any) -> str:
    return " ".join(map(str, cell)) if isinstance(cell, list) else str(cell or "")


def _doubts(
    rows: Rows, text: Sequence[str], labels: dict[str, int], validation: Path | None
) -> Iterator[str]:
    """Name what a person should look at before a training."""
    empty = sum(any(cells.is_missing(row.get(column)) for column in text) for row in rows)
    if empty:
        yield f"{empty} of {len(rows)} rows have no text"
    for label, count in labels.items():
        if count < _RARE * sum(labels.values()):
            yield f"label {label!r} has {count} of {sum(labels.values())} rows: look at its own F1"
    if validation:
        seen = {tuple(_words(row.get(column)) for column in text) for row in rows}
        others = [tuple(_words(row.get(column)) for column in text) for row in read(validation)]
        if twice := sum(one in seen for one in others):
            yield f"{twice} of {len(others)} texts of {validation.name} are in train too"
