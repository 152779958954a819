"""The order of rows: rows of like length share a batch, and any epoch can be drawn again."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from torch.utils.data import Sampler

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
