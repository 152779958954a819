"""The requests of language models: prompts, and the number of tokens to write after them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from jpqd.core.bench_result import Workload
from jpqd.core.errors import UserError
from runtime_bench.job import workload
from runtime_bench.job.workload import Rows
from runtime_bench.options import Settings
from runtime_bench.writing import NEW_TOKENS

if TYPE_CHECKING:
    from runtime_bench.backend import Request

LENGTHS, COUNT, NEW = (128, 512), 8, 32
"""The tokens of prompts, the requests of each length, and the tokens that are written."""
REAL = 16
"""The prompts that keep their lengths."""


def build(
    rows: dict[str, Rows], asked: Settings, own_lengths: bool
) -> list[tuple[Workload, dict[str, list[Request]]]]:
    """Return two workloads for each kind of request: the first token, and each of the next ones."""
    lengths: tuple[int | None, ...] = (asked.length,) if asked.length or own_lengths else LENGTHS
    if lengths == (None,) and asked.batch != (1,):
        raise UserError(
            f"batch: prompts of --texts that keep their lengths are written after one by one, but "
            f"{', '.join(map(str, asked.batch))} was asked for. Give --length 128 too."
        )
    return [
        _workload(rows, asked, length, batch, count)
        for length in lengths
        for batch in asked.batch
        for count in dict.fromkeys((1, asked.new_tokens or NEW))
    ]


def _workload(
    rows: dict[str, Rows], asked: Settings, length: int | None, batch: int, count: int
) -> tuple[Workload, dict[str, list[Request]]]:
    cut = rows
    if length:
        cut = {name: workload.of_length(one, length) for name, one in rows.items()}
    first = next(iter(cut.values()))
    order = np.random.default_rng(asked.seed).permutation(len(first.ids))
    order = order[: COUNT * batch if length else REAL]
    parts = np.resize(order, (max(1, len(order) // batch), batch)).tolist()
    requests: dict[str, list[Request]] = {
        name: [
            {**workload.request(one, part, "exact"), NEW_TOKENS: np.array([count])}
            for part in parts
        ]
        for name, one in cut.items()
    }
    tokens = sum(len(first.ids[row]) for part in parts for row in part)
    described = Workload(
        name=_name(length, batch, count),
        batch=batch,
        length=length,
        policy="exact",
        source=first.source,
        rows=len(parts) * batch,
        requests=len(parts),
        useful_tokens=tokens,
        processed_tokens=tokens,
        padding=0.0,
    )
    return described, requests


def _name(length: int | None, batch: int, count: int) -> str:
    what = "first token" if count == 1 else f"each of {count - 1} next tokens"
    prompts = f"prompt of {length}" if length else "real prompts"
    return f"{what}, {prompts}" if batch == 1 else f"{what}, {batch} prompts of {length}"
