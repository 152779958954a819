"""The inputs of a stateful decoder."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def tokens(ids: Sequence[int], read: int = 0) -> dict[str, np.ndarray]:
    """Return the inputs for these tokens of one text, of which so many more were read before."""
    count = read + len(ids)
    return {
        "input_ids": np.asarray(ids, np.int64)[None],
        "attention_mask": np.ones((1, count), np.int64),
        "position_ids": np.arange(read, count, dtype=np.int64)[None],
        "beam_idx": np.zeros(1, np.int32),
    }
