"""Raw rows, split by split, from a hub, from files or from the built-in corpus."""

import csv
import glob
from pathlib import Path
from typing import Any

import datasets
from datasets import Dataset, DatasetDict, Features, Value, concatenate_datasets
from filelock import FileLock

from jpqd.core import artifact, cached, files
from jpqd.core.errors import DataError
from jpqd.core.progress import Progress
from jpqd.data import conll, corpus, grouping, sources
from jpqd.data.preflight import LONGEST_CELL
from jpqd.recipe.task import BUILTIN, Task, looks_local

_FORMATS = {
    ".csv": "csv", ".tsv": "csv", ".jsonl": "json", ".json": "json", ".parquet": "parquet",
    ".conll": "conll", ".txt": "lines",
}  # fmt: skip
_LONGEST_LINE = 10_000_000
"""Bytes: what is longer is no row of texts to classify, but a slip."""
_LARGE = 20_000_000
"""Bytes of a file whose reading is announced."""
_NO_ROWS = ("corresponds to no data", "BatchSize must be greater than 0")
"""The library's messages for a JSON lines file and a Parquet file without rows."""


def load(task: Task, cache: Path, progress: Progress | None = None) -> DatasetDict:
    """Load every split that there is, with its columns unchanged."""
    progress = progress or Progress()
    datasets.disable_progress_bars()
    datasets.logging.set_verbosity(datasets.logging.CRITICAL)  # what fails is said once, by us
    if task.dataset == BUILTIN:
        return _builtin()
    if isinstance(task.dataset, str) and not looks_local(task.dataset):
        return _from_hub(task.dataset, task.subset)
    found = grouping.of_task(task)
    return DatasetDict(
        {
            split: concatenate_datasets([read(path, cache / "tables", progress) for path in paths])
            for split, paths in found.items()
        }
    )


def _builtin() -> DatasetDict:
    splits = {}
    for split in ("train", "validation"):
        rows = corpus.reviews(split)
        columns = {"text": [text for text, _ in rows], "label": [label for _, label in rows]}
        splits[split] = Dataset.from_dict(columns)
    return DatasetDict(splits)


def _from_hub(dataset: str, subset: str | None) -> DatasetDict:
    hub = sources.HubId.parse(dataset)
    try:
        splits = datasets.load_dataset(hub.name, subset, revision=hub.revision)
    except Exception as error:
        raise DataError(f"dataset {dataset!r} could not be loaded: {error}") from error
    return DatasetDict({sources.canonical(split): table for split, table in splits.items()})


def read(path: Path, cache: Path, progress: Progress | None = None) -> Dataset:
    """Read a file into a cache keyed by content: the library's own looks at path and time only."""
    kind, size = _FORMATS[path.suffix.lower()], path.stat().st_size
    progress = progress or Progress()
    if not size:
        raise DataError(f"{path}: the file is empty.")
    if size > _LARGE:
        progress.say(f"    reading {path} ({size / 1e6:,.0f} MB)")
    if kind != "parquet":
        _require_utf8(path, longest=None if kind == "lines" else _LONGEST_LINE)
    if kind == "conll":
        return Dataset.from_dict(conll.read(path))
    if kind == "lines":
        return Dataset.from_dict({"text": path.read_text(encoding="utf-8-sig").split("\n")})
    options = _text_options(path) if kind == "csv" else {}
    place = cache / artifact.hash_file(path)[:16]
    cache.mkdir(parents=True, exist_ok=True)
    with FileLock(place.with_suffix(".lock")):
        whole = cached.is_whole(place, progress)
        if not whole:
            files.remove(place)
        table = _from_library(kind, path, place, options)
        if not whole:
            artifact.close(place, {})
    return table


def _from_library(kind: str, path: Path, place: Path, options: dict[str, Any]) -> Dataset:
    where = glob.escape(str(path))
    try:
        return datasets.load_dataset(
            kind, data_files=where, split="train", cache_dir=str(place), **options
        )
    except (OSError, MemoryError):
        raise
    except Exception as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> Exception:
    """Return an error that blames the file, unless the cause is the disk."""
    cause = error.__cause__ or error
    if isinstance(cause, OSError):
        return cause
    if any(mark in str(cause) for mark in _NO_ROWS):
        return DataError(f"{path}: the file has no rows.")
    return DataError(f"{path}: cannot be read as {path.suffix}: {str(cause).strip()[:500]}")


def _require_utf8(path: Path, longest: int | None) -> None:
    """Refuse other encodings: the JSON reader accepts them, and they break much later."""
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if longest and len(line) > longest:
                raise DataError(
                    f"{path}, line {number}: {len(line) / 1e6:,.0f} MB in one line, more than "
                    f"{_LONGEST_LINE / 1e6:.0f} MB. Write every row in a line of its own."
                )
            try:
                line.decode()
            except UnicodeDecodeError as error:
                raise DataError(
                    f"{path}, line {number}: not UTF-8 text ({error.reason} at byte "
                    f"{error.start + 1} of the line). Save the file as UTF-8, "
                    f"unless it is not a {path.suffix} at all."
                ) from None


def _text_options(path: Path) -> dict[str, Any]:
    """Return options that read every column as text: `NA`, `null` and `007` stay as they are."""
    tabs = path.suffix.lower() == ".tsv"
    separator = "\t" if tabs else ","
    quoting: Any = csv.QUOTE_NONE if tabs else csv.QUOTE_MINIMAL
    header = _check_cells(path, separator, quoting)
    return {
        "sep": separator,
        "quoting": quoting,
        "encoding": "utf-8-sig",
        "keep_default_na": False,
        "index_col": False,
        "header": 0,
        "names": header,
        "features": Features({name: Value("string") for name in header}),
    }


def _check_cells(path: Path, separator: str, quoting: Any) -> list[str]:
    """Return the columns' names; refuse rows that are longer, which pandas would shift or cut."""
    csv.field_size_limit(LONGEST_CELL)
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.reader(file, delimiter=separator, quoting=quoting)
        try:
            header, width = _measured(path, reader, separator)
        except csv.Error as error:
            raise DataError(
                f"{path}, line {reader.line_num}: {error}. A cell may have {LONGEST_CELL:,} "
                "letters; a quote that is not closed makes one cell of all that follows."
            ) from None
    if not width:
        raise DataError(f"{path}: the file has no rows below its header.")
    return header


def _measured(path: Path, reader: Any, separator: str) -> tuple[list[str], int]:
    """Return the columns' names and the width of the widest row."""
    rows = (row for row in reader if row)
    header, width = _column_names(path, next(rows, [])), 0
    for row in rows:
        width = max(width, len(row))
        if width > len(header):
            raise DataError(
                f"{path}, line {reader.line_num}: {width} cells, but the header names "
                f"{len(header)} columns ({', '.join(header)}). {_advice(separator)}"
            )
    return header, width


def _advice(separator: str) -> str:
    if separator == "\t":
        return "Remove the tabs from the texts, or name every column."
    return "Put texts with commas in quotes, or name every column."


def _column_names(path: Path, header: list[str]) -> list[str]:
    """Name the columns; pandas leaves the name of its index column empty."""
    if not header:
        raise DataError(f"{path}: the file is empty; its first line must name the columns.")
    names = [name or f"unnamed {number}" for number, name in enumerate(header, 1)]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(
            f"{path}: the header names {twice[0]!r} more than once: {', '.join(names)}. "
            "Rename one of the columns."
        )
    return names
