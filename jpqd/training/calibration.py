"""Some rows of train, always the same for a seed: what ranges and one-shot scores come from."""

from collections.abc import Iterator

import numpy as np
import torch

from jpqd.data import batching
from jpqd.training.method import Training


def batches(
    training: Training, rows: int, device: torch.device, size: int = 1
) -> Iterator[tuple[batching.Batch, torch.Tensor]]:
    """Features and labels. Batches of one hold no padding, whose activations nobody reads."""
    split = training.data.splits["train"]
    collate = training.collator()
    chosen = some(training.data.labelled, rows, training.ctx.seed)
    for start in range(0, len(chosen), size):
        batch = collate(split.__getitems__(chosen[start : start + size]))
        features = batching.features(batch)
        yield {k: v.to(device) for k, v in features.items()}, batch["labels"].to(device)


def some(count: int, rows: int, seed: int) -> list[int]:
    """Draw some of so many rows."""
    order = np.random.default_rng(seed).permutation(count)
    return [int(row) for row in order[:rows]]
