"""The preparation of a job: devices, arms and rows, each checked before it costs time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from jpqd.core import cpus
from jpqd.core.errors import UserError
from jpqd.core.progress import Progress
from jpqd.run import finder
from runtime_bench.backends.openvino_ir import OpenvinoIr
from runtime_bench.job import arms, calibration, rows
from runtime_bench.job.sources import Source
from runtime_bench.job.workload import Rows
from runtime_bench.machine import devices
from runtime_bench.options import Settings


@dataclass(frozen=True)
class Job:
    """The arms and rows to measure; the first arm is the baseline."""

    settings: Settings
    threads: int
    arms: list[arms.Arm]
    rows: dict[str, Rows]
    """The same texts for each arm, in the tokens of its own vocabulary."""
    split: str | None
    run: str | None
    writes: bool = False
    """True where the arms are language models."""
    own_lengths: bool = False
    """True where prompts keep their lengths."""


def chosen(settings: Settings, source: Source) -> list[arms.Arm]:
    """Return the chosen arms, the baseline first."""
    threads = settings.threads or cpus.usable()
    first = (
        source.baseline if source.baseline in source.folders else source.baseline.partition(":")[0]
    )
    if first not in source.folders:
        known = ", ".join(source.folders)
        raise UserError(f"--baseline {source.baseline}: not one of the measured folders: {known}.")
    where = arms.Setup(settings.device, threads, mixed=settings.length is None)
    candidates = arms.of_folders(source.folders, first, where)
    base = arms.first_of(candidates, source.baseline)
    wanted = arms.choose(candidates, settings.arms, base.name)
    if any(isinstance(arm.backend, OpenvinoIr) for arm in wanted):
        devices.check(settings.device, devices.available())
    return [base, *(arm for arm in wanted if arm is not base)]


def job(
    settings: Settings,
    source: Source,
    wanted: list[arms.Arm],
    texts: Path | None,
    cache: Path,
    progress: Progress,
) -> Job:
    task = finder.task_of(source.run) if source.run else None
    of_arms = _of_arms(
        wanted, lambda folder: _rows(settings, source, folder, texts, cache, progress)
    )
    writes = _write(wanted)
    if writes and task and texts is None:
        _refuse_other_windows(of_arms)
    return Job(
        settings=settings,
        threads=settings.threads or cpus.usable(),
        arms=calibration.given(wanted, task, cache, progress),
        rows=of_arms,
        split=task.report_on if task else None,
        run=str(source.run) if source.run else None,
        writes=writes,
        own_lengths=texts is not None and settings.length is None,
    )


def _write(wanted: list[arms.Arm]) -> bool:
    """Return whether the arms are language models, all of them."""
    kinds = {arms.writes(Path(arm.backend.path)) for arm in wanted}
    if len(kinds) > 1:
        raise UserError("language models and others cannot be measured together. Use --arms.")
    return kinds == {True}


def _refuse_other_windows(of_arms: dict[str, Rows]) -> None:
    """Refuse language models that cut the task's text into other windows: other texts, that is."""
    first = next(iter(of_arms.values()))
    for name, one in of_arms.items():
        same = len(one.ids) == len(first.ids) and all(map(np.array_equal, one.ids, first.ids))
        if not same:
            raise UserError(
                f"{name}: with its vocabulary the task's text falls into other windows, so the "
                "prompts would not be the same. Give --texts FILE with a prompt in each line."
            )


def _of_arms(wanted: list[arms.Arm], read: Callable[[Path], Rows]) -> dict[str, Rows]:
    """Read the rows once for each vocabulary. A folder without one takes the baseline's tokens."""
    folders = {arm.name: Path(arm.backend.path) for arm in wanted}
    usual = rows.vocabulary(folders[wanted[0].name])
    own = {name: rows.vocabulary(folder) or usual for name, folder in folders.items()}
    places = {own[arm.name]: folders[arm.name] for arm in reversed(wanted)}
    found = {one: read(place) for one, place in places.items()}
    return {name: found[one] for name, one in own.items()}


def _rows(
    settings: Settings,
    source: Source,
    folder: Path,
    texts: Path | None,
    cache: Path,
    progress: Progress,
) -> Rows:
    if texts is not None:
        return rows.of_texts(texts, folder)
    if source.run is not None:
        return rows.of_task(finder.task_of(source.run), folder, cache, progress)
    if settings.length is not None:
        return rows.random(folder, settings.length, settings.seed)
    raise UserError(
        f"{folder} belongs to no run, so there are no rows to measure with. Give --length 128 for "
        "random tokens, or --texts FILE with one text in each line."
    )
