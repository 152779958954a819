"""Runs a model over a split, in f32, shared among the processes, and scores it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate.utils import gather_object
from datasets import Dataset
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from jpqd.core import processes
from jpqd.core.names import PREDICTIONS
from jpqd.core.progress import Progress
from jpqd.data import batching, splits
from jpqd.data.batching import Collate, features
from jpqd.data.splits import Data
from jpqd.scores import predictions
from jpqd.scores.predictions import Predictions
from jpqd.tasks import Kind

BATCH = 64


def measure(
    network: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    data: Data,
    split: str,
    out: Path,
    batch_size: int = BATCH,
) -> dict[str, Any]:
    """Return a model's figures on a split, and save its predictions."""
    collate = batching.collator(tokenizer, data.kind)
    found = predict(network, data.split(split), data.kind, collate, batch_size)
    if processes.is_main():
        predictions.save(out / PREDICTIONS, found, data.kind.facts())
    return {split: data.kind.score(found)}


def by_chance(data: Data, network: PreTrainedModel) -> dict[str, Any]:
    """Return the figures of random answers on the rows that choose: those that they can have."""
    labels = splits.column(data.splits["select"], "labels")
    width = network.config.hidden_size if data.kind.vectors else 1
    answers = np.random.default_rng(0).normal(size=(len(labels), width)).astype(np.float32)
    return data.kind.score(predictions.of_rows(answers, labels))


@torch.no_grad()
def predict(
    network: PreTrainedModel,
    split: Dataset,
    kind: Kind,
    collate: Collate,
    batch_size: int,
    progress: Progress | None = None,
) -> Predictions:
    """Answer every row of a split. Rows of like length share a batch, the shortest ones first."""
    order = np.argsort(splits.column(split, "length"), kind="stable")
    mine = order[processes.rank() :: processes.world_size()]
    device = processes.device()
    longest, words = int(splits.column(split, "length").max()), network.config.vocab_size
    batch_size = kind.rows_at_once(batch_size, longest, words)
    network.to(device).eval()  # type: ignore[arg-type]
    count = progress.counting("    answered", "rows", len(mine)) if progress else None
    parts = []
    for start in range(0, len(mine), batch_size):
        rows = mine[start : start + batch_size]
        batch = collate(split.__getitems__(rows.tolist()))
        outputs = network(**{name: tensor.to(device) for name, tensor in features(batch).items()})
        parts.append(_answers(kind, outputs.logits.float().cpu(), batch["labels"], rows))
        if count is not None:
            count(len(rows))
    return _gathered(parts)


def _answers(
    kind: Kind, logits: torch.Tensor, labels: torch.Tensor, rows: np.ndarray
) -> Predictions:
    """The answers of a batch; a row's may be several."""
    numbers = torch.from_numpy(rows)
    if not kind.one_answer:
        numbers = numbers[:, None].expand_as(labels)
    answers, targets = kind.answers(logits, labels), kind.targets(labels)
    kept = kind.kept(answers, targets).numpy()
    return Predictions(kept, targets.numpy(), kind.answers(numbers, labels).numpy())


def _gathered(parts: list[Predictions]) -> Predictions:
    """Every process ends with all rows, back in the split's order."""
    if processes.world_size() > 1:
        parts = gather_object(parts)
    labels, rows = (
        np.concatenate([getattr(part, name) for part in parts]) for name in ("labels", "rows")
    )
    order = np.argsort(rows, kind="stable")
    return Predictions(_put(parts, order), labels[order], rows[order])


def _put(parts: list[Predictions], order: np.ndarray) -> np.ndarray:
    """Put the answers into this order; each part goes as it is read, as all take gigabytes."""
    places = np.empty(len(order), np.int64)
    places[order] = np.arange(len(order))
    first = parts[0].logits
    out = np.empty((len(order), *first.shape[1:]), first.dtype)
    end = len(order)
    while parts:
        part = parts.pop().logits
        out[places[end - len(part) : end]] = part
        end -= len(part)
    return out
