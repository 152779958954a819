"""The counts and notes of a training stage: `loop.json` in each of its checkpoints."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, field
from pathlib import Path

from jpqd.core import files

_FILE = "loop.json"


@dataclass
class Journal:
    step: int = 0
    """Steps that are done."""
    best_step: int | None = None
    best_value: float = -math.inf
    seconds: float = 0.0
    """Time in steps: evaluations and checkpoints do not count."""
    logged: int = 0
    """The step of the history's last loss."""
    loss_sum: float = 0.0
    """The losses of the steps since then, added up."""
    history: list[dict[str, float]] = field(default_factory=list)

    def save(self, folder: Path) -> None:
        files.write_json(folder / _FILE, asdict(self))


def load(folder: Path) -> Journal:
    return Journal(**json.loads((folder / _FILE).read_text()))
