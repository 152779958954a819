"""Requests: the task's own rows or rows of one length, in batches that a policy pads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from jpqd.core.bench_result import Workload

if TYPE_CHECKING:
    from jpqd.tasks import Kind
    from runtime_bench.backend import Request

Policy = Literal["exact", "multiple8", "buckets"]
BUCKETS = (16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512)
_MOST_ROWS = 16_384
"""Every worker holds the requests: more rows take memory, and no run has the time to use them."""


@dataclass(frozen=True)
class Truth:
    """The labels to which answers are compared."""

    kind: Kind
    labels: list[Any]
    """The label of each row; a row may have several."""


@dataclass(frozen=True)
class Rows:
    """Tokenized rows in the data's order."""

    ids: list[np.ndarray]
    types: list[np.ndarray]
    """The number of the text (0 or 1) that each token belongs to."""
    padding: int
    source: str
    truth: Truth | None = None


def padded(length: int, policy: Policy) -> int:
    """Return the length to which a batch with this longest row is padded."""
    if policy == "multiple8":
        return -(-length // 8) * 8
    if policy == "buckets":
        return next((size for size in BUCKETS if size >= length), length)
    return length


def of_length(rows: Rows, length: int) -> Rows:
    """Cut or repeat real tokens to one length."""
    ids, types = ([np.resize(row, length) for row in part] for part in (rows.ids, rows.types))
    return Rows(ids, types, rows.padding, rows.source, rows.truth)


def build(
    rows: Rows, batch: int, length: int | None, policy: Policy, seed: int
) -> tuple[Workload, list[Request]]:
    """Build batches in random order, as they would arrive, not sorted by length."""
    order = np.random.default_rng(seed).permutation(len(rows.ids))[: max(batch, _MOST_ROWS)]
    order = np.resize(order, max(1, len(order) // batch) * batch)
    rows = _chosen(rows, order) if length is None else of_length(_chosen(rows, order), length)
    batches = np.arange(len(order)).reshape(-1, batch)
    requests = [request(rows, chosen.tolist(), policy) for chosen in batches]
    useful = sum(map(len, rows.ids))
    processed = sum(one["input_ids"].size for one in requests)
    what = "real lengths" if length is None else f"length {length}"
    described = Workload(
        name=f"{what}, batch {batch}",
        batch=batch,
        length=length,
        policy=policy,
        source=rows.source,
        rows=len(order),
        requests=len(requests),
        useful_tokens=useful,
        processed_tokens=processed,
        padding=1 - useful / processed,
    )
    return described, requests


def _chosen(rows: Rows, order: np.ndarray) -> Rows:
    ids, types = ([part[index] for index in order] for part in (rows.ids, rows.types))
    return Rows(ids, types, rows.padding, rows.source)


def one_by_one(rows: Rows) -> list[Request]:
    """Return every row in order and without padding, for accuracy."""
    return [request(rows, [index], "exact") for index in range(len(rows.ids))]


def request(rows: Rows, chosen: list[int], policy: Policy) -> Request:
    width = padded(max(len(rows.ids[index]) for index in chosen), policy)
    shape = (len(chosen), width)
    ids, types = np.full(shape, rows.padding, np.int64), np.zeros(shape, np.int64)
    mask = np.zeros(shape, np.int64)
    for place, index in enumerate(chosen):
        length = len(rows.ids[index])
        ids[place, :length], types[place, :length] = rows.ids[index], rows.types[index]
        mask[place, :length] = 1
    return {"input_ids": ids, "attention_mask": mask, "token_type_ids": types}
