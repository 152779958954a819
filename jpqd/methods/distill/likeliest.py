"""A language model's likeliest next tokens at each place of train, asked once and kept on disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from safetensors.numpy import load_file, save_file
from torch import Tensor
from torch.nn import functional

from jpqd.core import cached, processes, seals
from jpqd.core.errors import UserError
from jpqd.data import batching, splits
from jpqd.methods.distill import known
from jpqd.methods.distill.teachers import Teacher
from jpqd.training.method import Training

_FILE = "likeliest.safetensors"
_BATCH, _PART = 4, 2_000
"""The rows that are asked together, and those that are kept together: what a kill costs."""
_MOST_BYTES = 8e9
_EACH_BYTES = 6
"""The bytes of a token's number and of its log-probability."""
_LEAST = 1e-6
"""The least that all other tokens together can be likely."""


class Likeliest:
    """The log-probabilities of the teacher's likeliest tokens; all others are one more token."""

    def __init__(self, found: dict[str, np.ndarray]) -> None:
        device = processes.device()
        self.logs, self.ids = (torch.from_numpy(found[name]).to(device) for name in ("logs", "ids"))
        counts = torch.from_numpy(found["counts"]).to(device)
        self.counts, self.starts = counts, counts.cumsum(0) - counts

    def divergence(self, student: Tensor, rows: Tensor, temperature: float) -> Tensor:
        """Return KL(teacher || student) over the likeliest tokens and the others as one."""
        counts = self.counts[rows]
        places = torch.arange(int(counts.sum()), device=counts.device)
        places += (self.starts[rows] - (counts.cumsum(0) - counts)).repeat_interleave(counts)
        theirs = _with_rest(self.logs[places].float())
        ours = functional.log_softmax(student / temperature, -1)
        ours = _with_rest(ours.gather(-1, self.ids[places].long()))
        divergence = functional.kl_div(ours, theirs, reduction="batchmean", log_target=True)
        return temperature**2 * divergence


def _with_rest(logs: Tensor) -> Tensor:
    """Put the log-probability of all other tokens together behind those of the likeliest."""
    rest = (1 - logs.exp().sum(-1, keepdim=True)).clamp_min(_LEAST)
    return torch.cat([logs, rest.log()], -1)


def of_train(teacher: Teacher, training: Training, count: int, temperature: float) -> Likeliest:
    """Ask the teacher for every row of train once, for all runs."""
    ctx, split = training.ctx, training.data.splits["train"]
    _refuse_too_much(split, count, training.stage)
    identity = [*teacher.identity(training), "likeliest", count, temperature]
    ordered = split.select(np.argsort(splits.column(split, "row"), kind="stable"))
    every = known.parts(ordered, _PART, whole=_place(ctx.cache, identity))
    found = []
    for part, number in every:
        place = _place(ctx.cache, [*identity, *number])
        if processes.agree(not cached.is_whole(place, ctx.progress)):
            which = known.which(number)
            ctx.progress.say(f"    {teacher.where} predicts every row of train once{which}")
            if processes.is_main():
                _keep(place, _asked(teacher, training, part, count, temperature))
            processes.barrier()
        found.append(load_file(place / _FILE))
    return Likeliest(_joined(found))


def _place(cache: Path, identity: list[Any]) -> Path:
    return cache / f"likeliest-{seals.digest(identity)[:16]}"


def _keep(place: Path, found: dict[str, np.ndarray]) -> None:
    cached.put(place, lambda out: save_file(found, out / _FILE))


def _joined(found: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Join the answers of parts; each one counts its rows' among all rows."""
    counts = np.zeros(max(len(one["counts"]) for one in found), np.int64)
    for one in found:
        counts[: len(one["counts"])] += one["counts"]
    columns = {name: [one.pop(name) for one in found] for name in ("logs", "ids")}
    return {"counts": counts, **{name: known.joined(some) for name, some in columns.items()}}


def _refuse_too_much(split: Dataset, count: int, stage: str) -> None:
    tokens = int(splits.column(split, "length").sum())
    if (needed := tokens * count * _EACH_BYTES) > _MOST_BYTES:
        raise UserError(
            f"{stage}: distill: top: {count} tokens at {tokens:,} places take "
            f"{needed / 1e9:.1f} GB of memory and disk ({_MOST_BYTES / 1e9:.0f} at the most). "
            "Give fewer, or leave it out: the teacher answers in every step."
        )


@torch.no_grad()
def _asked(
    teacher: Teacher, training: Training, split: Dataset, count: int, temperature: float
) -> dict[str, np.ndarray]:
    """Answer row by row, in this order, which is that of the rows' numbers in the data."""
    collate = batching.collator(teacher.tokenizer, training.kind)
    numbers = splits.column(split, "row")
    counts = np.zeros(int(numbers.max()) + 1, np.int64)
    told = training.ctx.progress.counting("    answered", "rows", len(split))
    logs: list[Any] = []
    ids: list[Any] = []
    device = processes.device()
    teacher.network.to(device).eval()  # type: ignore[arg-type]
    longest, words = int(splits.column(split, "length").max()), teacher.network.config.vocab_size
    size = training.kind.rows_at_once(_BATCH, longest, words)
    for start in range(0, len(split), size):
        rows = range(start, min(start + size, len(split)))
        batch = collate(split.__getitems__(list(rows)))
        batch = {name: tensor.to(device) for name, tensor in batch.items()}
        labels = batch["labels"]
        answers = training.kind.answers(teacher.answer(batch), labels)
        best = functional.log_softmax(answers / temperature, -1).topk(
            min(count, answers.shape[-1]), -1
        )
        logs.append(best.values.half().cpu().numpy())
        ids.append(best.indices.int().cpu().numpy())
        counts[batch["row"].cpu().numpy()] = [
            len(training.kind.targets(one[None])) for one in labels
        ]
        told(len(labels))
    return {"logs": np.concatenate(logs), "ids": np.concatenate(ids), "counts": counts}
