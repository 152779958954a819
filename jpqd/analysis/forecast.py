"""The time that an analysis will take, by a short trial of the model on its own rows."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from jpqd.core.progress import Progress
from jpqd.data import batching, splits
from jpqd.model import families, loading
from jpqd.recipe.task import Task
from jpqd.training import evaluation

_ROWS, _ALONE = 64, 8
_BACKWARD = 3
"""Passes forward that a pass forward and back takes."""
_SCORES = 3
_BUILD, _MILLIONS = 7.0, 0.08
"""The seconds to build an IR and to load it twice: in any case, and for each million of weights."""
_FASTER = 0.5
"""The time of a row in OpenVINO through that in PyTorch, at most."""


@dataclass(frozen=True)
class Pace:
    """The time of rows on this machine, and the sizes of the work."""

    row: float
    """Seconds for a row among others."""
    alone: float
    """Seconds for a row by itself."""
    layers: int
    """The layers whose parts are known; none of an unknown family."""
    millions: float
    rows: Mapping[str, int]
    """The rows of each split."""

    def sensitivity(self, samples: int) -> float:
        """Return the seconds: of each layer 8 parts less and 12 in few bits, of the rest 6."""
        trials = 20 * self.layers + 6 + 1
        rows = min(samples, self.rows["select"])
        return self.row * (trials * rows + _SCORES * _BACKWARD * samples)

    def bit_widths(self, samples: int, groups: int, seconds: float) -> float:
        variants = 6 + 2 * groups
        rows = min(samples, self.rows["select"])
        build = _BUILD + _MILLIONS * self.millions
        return seconds + variants * (_FASTER * self.alone * rows + build)

    def robustness(self, models: int, conditions: int, report: str) -> float:
        rows = (1 + conditions) * self.rows[report] + self.rows["select"]
        return self.row * models * rows


def pace(folder: Path, task: Task, cache: Path, progress: Progress) -> Pace:
    """Try the model on some rows that choose a checkpoint."""
    loading.quiet()
    network = loading.load(folder)
    tokenizer = loading.load_tokenizer(folder, task, cache)
    data = splits.prepare(task, tokenizer, cache, progress)
    held_out = data.split("select")
    collate = batching.collator(tokenizer, data.kind)

    def seconds(rows: int, size: int) -> float:
        table = held_out.select(range(min(rows, len(held_out))))
        begun = time.perf_counter()
        evaluation.predict(network, table, data.kind, collate, size)
        return (time.perf_counter() - begun) / len(table)

    seconds(_ALONE, 1)  # the first calls take longer
    return Pace(
        row=seconds(_ROWS, evaluation.BATCH),
        alone=seconds(_ALONE, 1),
        layers=len(families.layers(network)) if families.knows(network) else 0,
        millions=sum(parameter.numel() for parameter in network.parameters()) / 1e6,
        rows={name: facts["used"] for name, facts in data.rows.items()},
    )
