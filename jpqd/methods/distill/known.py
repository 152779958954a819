"""Answers to all of train that are kept: asked in parts, and looked up by row."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from torch import Tensor

from jpqd.core import memory, processes
from jpqd.data import splits
from jpqd.training.method import Training

_BYTES, _TWICE = 4, 2
"""The bytes of a number, and the times that all of them are there while they are put in order."""


class KnownAnswers:
    """A teacher's answers to each row of the data: one, or one for each word."""

    def __init__(self, logits: np.ndarray, rows: np.ndarray) -> None:
        """`rows` says which row of the data each answer belongs to."""
        device, order = processes.device(), np.argsort(rows, kind="stable")
        counts = np.bincount(rows)
        in_order = bool((order[1:] > order[:-1]).all())
        self.logits = torch.from_numpy(logits if in_order else logits[order]).to(device)
        self.counts = torch.from_numpy(counts).to(device)
        self.starts = torch.from_numpy(counts.cumsum() - counts).to(device)

    def of_rows(self, rows: Tensor) -> Tensor:
        """The answers to some rows, one after the other."""
        counts = self.counts[rows]
        before = counts.cumsum(0) - counts
        first = (self.starts[rows] - before).repeat_interleave(counts)
        return self.logits[first + torch.arange(len(first), device=first.device)]


def parts(split: Dataset, size: int, whole: Path) -> list[tuple[Dataset, list[Any]]]:
    """Cut rows into parts that are answered one by one, each with what tells it from the others.

    There is one where an earlier version has kept all answers, in the folder `whole`.
    """
    starts = range(0, len(split), size)
    if len(starts) < 2 or processes.agree(whole.exists()):
        return [(split, [])]
    rows = [range(start, min(start + size, len(split))) for start in starts]
    names = [[f"{number} of {len(rows)}", size] for number in range(1, len(rows) + 1)]
    return [(split.select(some), name) for some, name in zip(rows, names, strict=True)]


def which(number: list[Any]) -> str:
    """Say which part it is, where there are several."""
    return f", part {number[0]}" if number else ""


def joined(arrays: list[np.ndarray]) -> np.ndarray:
    """Join arrays and empty the list; each one goes as it is read, as all take gigabytes."""
    if len(arrays) == 1:
        return arrays.pop()
    end = sum(map(len, arrays))
    out = np.empty((end, *arrays[0].shape[1:]), arrays[0].dtype)
    while arrays:
        part = arrays.pop()
        out[end - len(part) : end] = part
        end -= len(part)
    return out


def have_room(training: Training, width: int, copies: int) -> bool:
    """Say whether answers of so many numbers to so many copies of train fit into memory."""
    free, split = memory.free_bytes(), training.data.splits["train"]
    is_one = training.kind.one_answer  # else one for each word, which are no more than tokens
    answers = len(split) if is_one else int(splits.column(split, "length").sum())
    here = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    needed = answers * copies * width * _BYTES * _TWICE * here
    if not processes.agree(free is not None and needed > free):
        return True
    training.ctx.progress.say(
        f"    distill: the teacher's answers to all of train would take {needed / 1e9:.1f} GB of "
        f"{(free or 0) / 1e9:.1f} that are free, so it answers in every step"
    )
    return False
