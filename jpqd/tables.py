"""Raw rows, split by split, from a hub, from files or from the built-in corpus."""

import csv
from pathlib import Path
from typing import Any

import datasets
from datasets import Dataset, DatasetDict, Features, Value

from jpqd import corpus, sources
from jpqd.errors import DataError
from jpqd.task import BUILTIN, Task, looks_local

ALIASES = {"valid": "validation", "val": "validation", "dev": "validation", "training": "train"}
_FORMATS = {".csv": "csv", ".tsv": "csv", ".jsonl": "json", ".json": "json", ".parquet": "parquet"}


def load(task: Task, cache: Path) -> DatasetDict:
    """Every split that there is, with the columns as they were found."""
    datasets.disable_progress_bars()
    if task.dataset == BUILTIN:
        return _builtin()
    if isinstance(task.dataset, dict):
        files = {split: sources.local_file(path) for split, path in task.dataset.items()}
    elif looks_local(task.dataset):
        files = _by_split(sources.table_files(Path(task.dataset).expanduser()))
    else:
        return _from_hub(task.dataset, task.subset)
    return DatasetDict({split: _read(path, cache / "tables") for split, path in files.items()})


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
        found = datasets.load_dataset(hub.name, subset, revision=hub.revision)
    except Exception as error:
        raise DataError(f"dataset {dataset!r} could not be loaded: {error}") from error
    return found


def _by_split(files: list[Path]) -> dict[str, Path]:
    """A file's name is its split; a single file is train."""
    if len(files) == 1:
        return {"train": files[0]}
    named: dict[str, Path] = {}
    for path in files:
        split = ALIASES.get(path.stem.lower(), path.stem.lower())
        if split in named:
            raise DataError(f"{path.name} and {named[split].name} are both the split {split!r}.")
        named[split] = path
    return named


def _read(path: Path, cache: Path) -> Dataset:
    kind = _FORMATS[path.suffix.lower()]
    options: dict[str, Any] = _text_options(path) if kind == "csv" else {}
    try:
        return datasets.load_dataset(
            kind, data_files=str(path), split="train", cache_dir=str(cache), **options
        )
    except (OSError, MemoryError):
        raise
    except Exception as error:
        cause = error.__cause__ or error
        if isinstance(cause, OSError):
            raise cause from error
        raise DataError(f"{path}: cannot be read as {path.suffix}: {cause}") from error


def _text_options(path: Path) -> dict[str, Any]:
    """Every column as text, nothing guessed: `NA`, `null` and `007` stay what they are."""
    tabs = path.suffix.lower() == ".tsv"
    quoting: Any = csv.QUOTE_NONE if tabs else csv.QUOTE_MINIMAL
    with path.open(newline="", encoding="utf-8-sig", errors="replace") as file:
        header = next(csv.reader(file, delimiter="\t" if tabs else ",", quoting=quoting), [])
    if not header:
        raise DataError(f"{path}: the file is empty; its first line must name the columns.")
    return {
        "sep": "\t" if tabs else ",",
        "quoting": quoting,
        "encoding": "utf-8-sig",
        "keep_default_na": False,
        "features": Features({name: Value("string") for name in header}),
    }
