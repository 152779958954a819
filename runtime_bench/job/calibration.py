"""Rows of train for the tools that quantize a dense model by what it reads."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from jpqd.core import cached, seals
from jpqd.core.errors import UserError
from jpqd.core.progress import Progress
from jpqd.recipe.task import Task
from runtime_bench.job.arms import Arm
from runtime_bench.job.rows import tokenizer_of

ROWS = 300
"""The number that optimum-intel and NNCF take by default."""
_FILE = "rows.json"


def given(arms: Sequence[Arm], task: Task | None, cache: Path, progress: Progress) -> list[Arm]:
    """Give each arm that calibrates the file of its rows, which is made once for a model."""
    wanted = [arm for arm in arms if arm.calibrates]
    if wanted and task is None:
        raise UserError(
            f"--arms {wanted[0].name}: it is calibrated on rows of train, and no run says which. "
            "Measure a stage of a run, or leave this arm out."
        )
    models = {arm.backend.path for arm in wanted}
    files = {model: _file(task, Path(model), cache, progress) for model in models if task}
    return [_with(arm, files[arm.backend.path]) if arm.calibrates else arm for arm in arms]


def _with(arm: Arm, file: Path) -> Arm:
    return replace(arm, backend=arm.backend.model_copy(update={"calibration": str(file)}))


def _file(task: Task, folder: Path, cache: Path, progress: Progress) -> Path:
    rows = _rows(task, folder, cache, progress)
    place = cache / f"calibration-{seals.digest(rows)[:16]}"
    if not cached.is_whole(place, progress):
        cached.put(place, lambda out: _write(out / _FILE, rows))
    return place / _FILE


def _rows(task: Task, folder: Path, cache: Path, progress: Progress) -> dict[str, Any]:
    from jpqd.data import splits

    tokenizer = tokenizer_of(folder, "the rows of train")
    train = splits.prepare(task, tokenizer, cache, progress).split("train")
    chosen = train[np.random.default_rng(0).permutation(len(train))[:ROWS]]
    ids = [list(map(int, row)) for row in chosen["input_ids"]]
    zeros = [[0] * len(row) for row in ids]
    types = [list(map(int, row)) for row in chosen.get("token_type_ids", zeros)]
    ones = [[1] * len(row) for row in ids]
    return {"input_ids": ids, "attention_mask": ones, "token_type_ids": types}


def _write(path: Path, rows: dict[str, Any]) -> None:
    path.write_text(json.dumps(rows))
