"""The requests of language models: prompts of some lengths, and the tokens to write after them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from jpqd.core.bench_result import Workload
from runtime_bench.job import workload
from runtime_bench.job.workload import Rows
from runtime_bench.options import Settings
from runtime_bench.writing import NEW_TOKENS

if TYPE_CHECKING:
    from runtime_bench.backend import Request

LENGTHS, COUNT, NEW = (128, 512), 8, 32
"""The tokens of prompts, the prompts of each length, and the tokens that are written."""


def build(
    rows: dict[str, Rows], asked: Settings
) -> list[tuple[Workload, dict[str, list[Request]]]]:
    """Return two workloads for each length: the first token, and each of those after it."""
    lengths = (asked.length,) if asked.length else LENGTHS
    return [
        _workload(rows, asked, length, count)
        for length in lengths
        for count in dict.fromkeys((1, asked.new_tokens or NEW))
    ]


def _workload(
    rows: dict[str, Rows], asked: Settings, length: int, count: int
) -> tuple[Workload, dict[str, list[Request]]]:
    cut = {name: workload.of_length(one, length) for name, one in rows.items()}
    first = next(iter(cut.values()))
    order = np.random.default_rng(asked.seed).permutation(len(first.ids))[:COUNT].tolist()
    requests: dict[str, list[Request]] = {
        name: [
            {**workload.request(one, [row], "exact"), NEW_TOKENS: np.array([count])}
            for row in order
        ]
        for name, one in cut.items()
    }
    what = "first token" if count == 1 else f"each of {count - 1} next tokens"
    tokens = len(order) * length
    described = Workload(
        name=f"{what}, prompt of {length}",
        batch=1,
        length=length,
        policy="exact",
        source=first.source,
        rows=len(order),
        requests=len(order),
        useful_tokens=tokens,
        processed_tokens=tokens,
        padding=0.0,
    )
    return described, requests
