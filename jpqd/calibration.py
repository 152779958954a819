"""Some rows of train, always the same for a seed: what ranges and one-shot scores come from."""

from collections.abc import Iterator

import numpy as np
import torch
from datasets import Dataset

from jpqd import data, evaluation, model
from jpqd.progress import Progress
from jpqd.stage import Context


def batches(
    ctx: Context, rows: int, device: torch.device, size: int = 1
) -> Iterator[tuple[evaluation.Batch, torch.Tensor]]:
    """Features and labels. Batches of one hold no padding, whose activations nobody reads."""
    tokenizer = model.load_tokenizer(ctx.model, ctx.task, ctx.cache)
    prepared = data.prepare(ctx.task, tokenizer, ctx.cache, Progress(quiet=True))
    split, collate = prepared.splits["train"], evaluation.collator(tokenizer)
    chosen = _some(split, rows, ctx.seed)
    for start in range(0, len(chosen), size):
        batch = collate(split.__getitems__(chosen[start : start + size]))
        features = evaluation.features(batch)
        yield {k: v.to(device) for k, v in features.items()}, batch["labels"].to(device)


def _some(split: Dataset, rows: int, seed: int) -> list[int]:
    order = np.random.default_rng(seed).permutation(len(split))
    return [int(row) for row in order[:rows]]
