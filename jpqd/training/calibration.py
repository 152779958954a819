"""Some rows of train, always the same for a seed: what ranges and one-shot scores come from."""

from collections.abc import Iterator

import numpy as np
import torch

from jpqd.data import batching, splits
from jpqd.training.method import Training


def batches(
    training: Training, rows: int, device: torch.device, size: int = 1
) -> Iterator[tuple[batching.Batch, torch.Tensor]]:
    """Features and labels. Rows of like length share a batch: nobody reads what padding gives."""
    chosen, lengths, random = _chosen(training, rows)
    longest = int(lengths[chosen].max(initial=1))
    size = training.kind.rows_at_once(size, longest, len(training.tokenizer))
    if size > 1:
        chosen = chosen[np.argsort(lengths[chosen], kind="stable")]
    groups = [chosen[start : start + size] for start in range(0, len(chosen), size)]
    if size > 1:  # whoever takes only some of the batches gets texts of all lengths
        random.shuffle(groups)
    yield from _given(training, groups, device)


def unpadded(
    training: Training, rows: int, device: torch.device, size: int
) -> Iterator[tuple[batching.Batch, torch.Tensor]]:
    """Features and labels of the same rows. Only rows of one length share a batch."""
    chosen, lengths, _ = _chosen(training, rows)
    alike = [chosen[lengths[chosen] == length] for length in np.unique(lengths[chosen])]
    groups = [own[start : start + size] for own in alike for start in range(0, len(own), size)]
    yield from _given(training, groups, device)


def _chosen(training: Training, rows: int) -> tuple[np.ndarray, np.ndarray, np.random.Generator]:
    """Draw rows that have a label; return them, the lengths of all rows, and what drew."""
    random = np.random.default_rng(training.ctx.seed)
    chosen = random.permutation(training.data.labelled)[:rows]
    return chosen, splits.column(training.data.splits["train"], "length"), random


def _given(
    training: Training, groups: list[np.ndarray], device: torch.device
) -> Iterator[tuple[batching.Batch, torch.Tensor]]:
    collate, split = training.collator(), training.data.splits["train"]
    for group in groups:
        batch = collate(split.__getitems__(group.tolist()))
        features = batching.features(batch)
        yield {k: v.to(device) for k, v in features.items()}, batch["labels"].to(device)
