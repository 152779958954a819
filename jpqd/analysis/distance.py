"""The distance of a changed model's answers from the whole model's."""

from __future__ import annotations

import torch

from jpqd.scores.predictions import Predictions
from jpqd.tasks import Kind

_LEAST = 1e-12


def name(kind: Kind) -> str:
    return "squared change over variance" if kind.is_number else "KL"


def of(kind: Kind, mine: Predictions, whole: Predictions) -> float:
    """Return the mean divergence of the answers; that of numbers has no unit."""
    changed, before = torch.from_numpy(mine.logits), torch.from_numpy(whole.logits)
    scale = max(float(whole.logits.var()), _LEAST) if kind.is_number else 1.0
    return float(kind.distance(changed, before, 1.0)) / scale
