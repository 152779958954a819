"""Changed copies of each text, always the same ones, so that a teacher reads them once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from jpqd.data import splits
from jpqd.methods.distill.options import Options
from jpqd.training.method import Training


class Variants:
    """Texts in which some tokens are exchanged for others of train."""

    def __init__(self, method: Options, training: Training) -> None:
        split = training.data.splits["train"]
        ids = splits.ids(split)
        self.share, self.count, self.seed = method.augment, method.variants or 1, training.ctx.seed
        self.rows = int(splits.column(split, "row").max()) + 1
        self.special = np.array(training.tokenizer.all_special_ids)
        self.pool = ids[~np.isin(ids, self.special)]

    def identity(self, variant: int) -> dict[str, Any]:
        return {"augment": self.share, "seed": self.seed, "variant": variant}

    def choose(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Change every text of a batch in one of its ways; its row becomes the copy's number."""
        rows = batch["row"]
        which = torch.randint(self.count, rows.shape, device=rows.device)
        return {**self.change(batch, which), "row": which * self.rows + rows}

    def change(self, batch: Mapping[str, Tensor], which: Tensor) -> dict[str, Tensor]:
        ids = batch["input_ids"].cpu().numpy().copy()
        for line, row, variant in zip(ids, batch["row"].tolist(), which.tolist(), strict=True):
            self._change(line, row, variant)
        return {**batch, "input_ids": torch.from_numpy(ids).to(batch["input_ids"].device)}

    def _change(self, ids: np.ndarray, row: int, variant: int) -> None:
        """Draw for the words alone: padding differs from batch to batch."""
        words = np.flatnonzero(~np.isin(ids, self.special))
        random = np.random.default_rng([self.seed, row, variant])
        chosen = words[random.random(len(words)) < self.share]
        ids[chosen] = self.pool[random.integers(len(self.pool), size=len(chosen))]
