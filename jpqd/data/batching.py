"""The order of rows, reproducible for any epoch, and their batches."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from transformers import PreTrainedTokenizerBase

from jpqd.tasks import Kind

Batch = dict[str, torch.Tensor]
Collate = Callable[[list[dict[str, Any]]], Batch]

WEIGHT = "weight"
"""The weight of a batch's mean over answers where it is a part of a step: 1 if all parts have as
many answers, 0 if it has none."""
_FACTS = ("labels", "row", WEIGHT)
"""The columns of a batch that the model does not read."""
_GROUP_BATCHES = 50


def order(
    lengths: Sequence[int] | np.ndarray, batch_size: int, seed: int, epoch: int
) -> np.ndarray:
    """Draw an epoch's rows, a line for each batch of rows of similar length.


    The order depends only on seed and epoch, so that a resumed epoch and N processes
    see the same batches. The epoch's first rows fill up the last batch.
    """
    lengths = np.asarray(lengths)
    count = -(-len(lengths) // batch_size)
    random = np.random.default_rng([seed, epoch])
    rows = np.resize(random.permutation(len(lengths)), count * batch_size)
    size = batch_size * _GROUP_BATCHES
    groups = [rows[start : start + size] for start in range(0, len(rows), size)]
    by_length = [group[np.argsort(lengths[group], kind="stable")] for group in groups]
    batches = np.concatenate(by_length).reshape(-1, batch_size)
    random.shuffle(batches)
    return batches


def collator(tokenizer: PreTrainedTokenizerBase, kind: Kind) -> Collate:
    """Return a function that pads rows to the longest one of their batch."""

    def collate(rows: list[dict[str, Any]]) -> Batch:
        inputs = [{k: v for k, v in row.items() if k not in (*_FACTS, "length")} for row in rows]
        # On the right, also where a decoder's tokenizer would not: positions count from the left.
        batch = dict(tokenizer.pad(inputs, padding_side="right", return_tensors="pt"))
        labels = kind.pad([row["labels"] for row in rows], batch["input_ids"].shape[1])
        numbers = torch.tensor([row["row"] for row in rows])
        return {**batch, "labels": torch.from_numpy(labels), "row": numbers}

    return collate


def features(batch: Mapping[str, torch.Tensor]) -> Batch:
    """Return the columns of a batch that the model reads."""
    return {name: tensor for name, tensor in batch.items() if name not in _FACTS}
