"""The order of rows, which can be drawn again for any epoch, and their batches."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch.utils.data import Sampler
from transformers import PreTrainedTokenizerBase

from jpqd.tasks import Kind

Batch = dict[str, torch.Tensor]
Collate = Callable[[list[dict[str, Any]]], Batch]

_FACTS = ("labels", "row")
"""What a batch says of its rows beside what a model reads."""
_GROUP_BATCHES = 50


class LengthGrouped(Sampler[int]):
    """Depends on seed and epoch only, so that a resumed epoch and N processes see the same batches.

    Every batch is full: the last one is filled up with the epoch's first rows.
    """

    def __init__(
        self, lengths: Sequence[int] | np.ndarray, batch: int, seed: int, epoch: Callable[[], int]
    ) -> None:
        self.lengths = np.asarray(lengths)
        self.batch, self.seed, self.epoch = batch, seed, epoch

    def __len__(self) -> int:
        return -(-len(self.lengths) // self.batch) * self.batch

    def __iter__(self) -> Iterator[int]:
        random = np.random.default_rng([self.seed, self.epoch()])
        order = np.resize(random.permutation(len(self.lengths)), len(self))
        grouped = [self._by_length(group) for group in self._groups(order)]
        batches = np.concatenate(grouped).reshape(-1, self.batch)
        random.shuffle(batches)
        return iter(batches.ravel().tolist())

    def _groups(self, order: np.ndarray) -> list[np.ndarray]:
        size = self.batch * _GROUP_BATCHES
        return [order[start : start + size] for start in range(0, len(order), size)]

    def _by_length(self, group: np.ndarray) -> np.ndarray:
        return group[np.argsort(self.lengths[group], kind="stable")]


def collator(tokenizer: PreTrainedTokenizerBase, kind: Kind) -> Collate:
    """Pad to the longest row of the batch."""

    def collate(rows: list[dict[str, Any]]) -> Batch:
        inputs = [{k: v for k, v in row.items() if k not in (*_FACTS, "length")} for row in rows]
        batch = dict(tokenizer.pad(inputs, return_tensors="pt"))
        labels = kind.pad([row["labels"] for row in rows], batch["input_ids"].shape[1])
        numbers = torch.tensor([row["row"] for row in rows])
        return {**batch, "labels": torch.from_numpy(labels), "row": numbers}

    return collate


def features(batch: Mapping[str, torch.Tensor]) -> Batch:
    """What the model reads of a batch."""
    return {name: tensor for name, tensor in batch.items() if name not in _FACTS}
