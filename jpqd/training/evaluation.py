"""Runs a model over a split, in f32, shared among the processes, and scores it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate.utils import gather_object
from datasets import Dataset
from safetensors.numpy import save_file
from transformers import PreTrainedTokenizerBase

from jpqd.core import processes
from jpqd.data import splits
from jpqd.model import loading
from jpqd.recipe.contracts import Context
from jpqd.scores import metrics
from jpqd.training.options import EvaluateOptions

Batch = dict[str, torch.Tensor]
Collate = Callable[[list[dict[str, Any]]], Batch]
_FACTS = ("labels", "row")
"""What a batch says of its rows beside what a model reads."""


def evaluate(stage: EvaluateOptions, ctx: Context) -> dict[str, Any]:
    """What `use: evaluate` does: metrics of one split, and the logits beside them."""
    folder = ctx.inputs[stage.needs[0]]
    tokenizer = loading.load_tokenizer(folder, ctx.task, ctx.cache)
    prepared = splits.prepare(ctx.task, tokenizer, ctx.cache, ctx.progress)
    split = stage.split or ctx.task.report_on
    logits, truth = predict(
        loading.load(folder), prepared.split(split), collator(tokenizer), stage.batch_size
    )
    if processes.is_main():
        save_logits(ctx.out / "predictions.safetensors", logits, truth)
    return {
        split: metrics.score(prepared.labels, logits, truth),
        "data": prepared.facts(),
    }


def collator(tokenizer: PreTrainedTokenizerBase) -> Collate:
    """Pads to the longest row of the batch."""

    def collate(rows: list[dict[str, Any]]) -> Batch:
        inputs = [{k: v for k, v in row.items() if k not in (*_FACTS, "length")} for row in rows]
        batch = dict(tokenizer.pad(inputs, return_tensors="pt"))
        facts = {name: torch.tensor([row[name] for row in rows]) for name in _FACTS}
        return {**batch, **facts}

    return collate


def features(batch: Mapping[str, torch.Tensor]) -> Batch:
    """What the model reads of a batch."""
    return {name: tensor for name, tensor in batch.items() if name not in _FACTS}


@torch.no_grad()
def predict(
    model: torch.nn.Module, split: Dataset, collate: Collate, batch_size: int
) -> tuple[np.ndarray, np.ndarray]:
    """Logits and labels in the split's order. Rows of like length share a batch."""
    order = np.argsort(splits.column(split, "length"), kind="stable")
    mine = order[processes.rank() :: processes.world_size()]
    device = processes.device()
    model.to(device).eval()
    parts = []
    for start in range(0, len(mine), batch_size):
        batch = collate(split.__getitems__([int(i) for i in mine[start : start + batch_size]]))
        outputs = model(**{name: tensor.to(device) for name, tensor in features(batch).items()})
        parts.append(outputs.logits.float().cpu().numpy())
    return _gather(mine, parts, len(split)), splits.column(split, "labels")


def _gather(mine: np.ndarray, parts: list[np.ndarray], rows: int) -> np.ndarray:
    """Every process ends with all rows, back in the split's order."""
    shares = [(mine, np.concatenate(parts) if parts else None)]
    if processes.world_size() > 1:
        shares = gather_object(shares)
    width = next(logits.shape[1] for _, logits in shares if logits is not None)
    result = np.empty((rows, width), dtype=np.float32)
    for indices, logits in shares:
        if logits is not None:
            result[indices] = logits
    return result


def save_logits(path: Path, logits: np.ndarray, truth: np.ndarray) -> None:
    """Row by row, in the split's order: agreement and paired tests need nothing else."""
    save_file({"logits": logits, "labels": truth}, path)
