"""The files of each split of local data, by their names."""

import re
from collections.abc import Iterable
from pathlib import Path

from jpqd.core.errors import DataError
from jpqd.data import sources
from jpqd.recipe.task import BUILTIN, Task, looks_local

_SHARD = re.compile(r"-\d{5}-of-\d{5}$")
"""The end of a shard's name on the hub: `train-00000-of-00002.parquet`."""


def of_task(task: Task) -> dict[str, list[Path]]:
    """Group the files of a task by split; empty where its data is not local."""
    if isinstance(task.dataset, dict):
        return _grouped(
            (name, sources.local_file(p, sources.endings(task))) for name, p in task.dataset.items()
        )
    if task.dataset == BUILTIN or not looks_local(task.dataset):
        return {}
    return _by_split(sources.table_files(Path(task.dataset).expanduser(), task))


def _by_split(files: list[Path]) -> dict[str, list[Path]]:
    """Group files by the split that their name says; a single file is train."""
    if len(files) == 1:
        return {"train": files}
    return _grouped((_SHARD.sub("", path.stem), path) for path in files)


def _grouped(named: Iterable[tuple[str, Path]]) -> dict[str, list[Path]]:
    """Group files by split; refuse two files of one split that are not its shards."""
    groups: dict[str, list[Path]] = {}
    for name, path in named:
        group = groups.setdefault(sources.canonical(name), [])
        if group and not _SHARD.search(path.stem):
            raise DataError(
                f"{path} and {group[0]} are both the split {sources.canonical(name)!r}. "
                "Keep one of them, or name the files: dataset: {train: FILE, validation: FILE}."
            )
        group.append(path)
    return groups
