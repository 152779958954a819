"""Models: loading, families, the cut, sizes, fake-quantizers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def load(folder: str | Path) -> PreTrainedModel:
    """Load a trained stage's model, ready to use: `jpqd.model.load("runs/demo/teacher")`."""
    from jpqd.model import loading

    return loading.load(folder)
