"""The answers of an IR to each token, window by window, and how far they are from another's."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from jpqd.scores import predictions, tokens
from jpqd.scores.predictions import Predictions
from jpqd.tasks import Kind
from jpqd.tasks._tokens import SILENT

_ROWS = 8
"""The tokens that are compared at once: with a large vocabulary more would not fit into caches."""


class Tally:
    """Collects answers; logits are looked at and not kept."""

    def __init__(self, kind: Kind) -> None:
        self.kind = kind
        self.kept: list[np.ndarray] = []
        self.labels: list[np.ndarray] = []
        self.apart: list[np.ndarray] = []
        """The columns of `tokens.apart`, for each token."""

    def add(self, logits: torch.Tensor, labels: np.ndarray, base: torch.Tensor | None) -> None:
        """Add a window; `base` are the log-probabilities that it is compared with."""
        places = np.flatnonzero(labels != SILENT)
        targets = torch.from_numpy(labels[places])
        kept, apart = [], []
        for start in range(0, max(1, len(targets)), _ROWS):
            part = slice(start, start + _ROWS)
            mine = logits[places[part]].log_softmax(-1)
            kept.append(self.kind.kept(mine, targets[part]))
            if base is not None:
                apart.append(_apart(mine, base[places[part]], targets[part]))
        self.kept.append(torch.cat(kept).numpy())
        self.labels.append(targets.numpy())
        if apart:
            self.apart.append(torch.cat(apart).numpy())

    @property
    def predictions(self) -> Predictions:
        return predictions.joined(self.kept, self.labels)

    def figures(self) -> dict[str, Any]:
        found = self.predictions
        figures = self.kind.score(found)
        if self.apart:
            figures.update(tokens.apart(np.concatenate(self.apart), found.rows))
        return figures


def in_logs(logits: torch.Tensor) -> torch.Tensor:
    """Turn logits into log-probabilities, in their place and part by part."""
    for start in range(0, len(logits), _ROWS):
        part = logits[start : start + _ROWS]
        part.copy_(part.log_softmax(-1))
    return logits


def _apart(mine: torch.Tensor, theirs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    divergence = (theirs.exp() * (theirs - mine)).sum(-1, dtype=torch.float64)
    right, before = (x.gather(-1, targets[:, None])[:, 0].double() for x in (mine, theirs))
    same = (mine.argmax(-1) == theirs.argmax(-1)).double()
    return torch.stack([divergence, before - right, right.exp() - before.exp(), same], 1)
