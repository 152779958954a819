"""The answers of a model on a split, with the right ones."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save_file

from jpqd.core import files


@dataclass(frozen=True)
class Predictions:
    """One answer for each text, or one for each of its words, in the split's order."""

    logits: np.ndarray
    """[answers, classes]"""
    labels: np.ndarray
    """[answers]"""
    rows: np.ndarray
    """[answers]: the row of the split that each answer belongs to, in ascending order."""

    @property
    def count(self) -> int:
        """The number of rows."""
        return int(self.rows[-1]) + 1 if len(self.rows) else 0


def of_rows(logits: np.ndarray, labels: np.ndarray) -> Predictions:
    """Make predictions with one answer for each row."""
    return Predictions(logits, labels, np.arange(len(labels)))


def joined(logits: Sequence[np.ndarray], labels: Sequence[np.ndarray]) -> Predictions:
    """Join the answers of each row, which may be several."""
    counts = [len(row) for row in logits]
    rows = np.repeat(np.arange(len(counts)), counts)
    return Predictions(np.concatenate(logits), np.concatenate(labels), rows)


def save(path: Path, predictions: Predictions, kind: dict[str, Any]) -> None:
    """Save predictions: all that agreement and paired tests need."""
    tensors = {"logits": predictions.logits, "labels": predictions.labels}
    if not np.array_equal(predictions.rows, np.arange(len(predictions.rows))):
        tensors["rows"] = predictions.rows
    save_file(tensors, path, metadata={"kind": json.dumps(kind)})


def keep(path: Path, predictions: Predictions, kind: dict[str, Any]) -> None:
    """Save predictions so that a kill leaves all of them, or none."""
    files.put(path, lambda partial: save(partial, predictions, kind))


def load(path: Path) -> tuple[Predictions, dict[str, Any]]:
    """Read predictions, and the kind of task that they answer."""
    with safe_open(path, "np") as file:  # type: ignore[no-untyped-call]
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        kind = json.loads((file.metadata() or {}).get("kind", "{}"))
    if not kind:  # version 0.1 wrote none
        use = "regression" if tensors["logits"].shape[1] == 1 else "classification"
        kind = {"use": use, "names": [], "values": []}
    rows = tensors.get("rows", np.arange(len(tensors["labels"])))
    return Predictions(tensors["logits"], tensors["labels"], rows), kind
