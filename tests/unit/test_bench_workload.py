"""Requests hold every token of the rows, padded as asked, and the share of padding is right."""

from pathlib import Path

import numpy as np
import pytest

from runtime_bench.job import rows as reading
from runtime_bench.job import workload
from runtime_bench.job.workload import Rows

LENGTHS = [3, 5, 9, 17, 33, 40, 8]


@pytest.fixture
def rows() -> Rows:
    ids = [np.arange(100 * n, 100 * n + length) for n, length in enumerate(LENGTHS, start=1)]
    types = [np.ones_like(row) for row in ids]
    return Rows(ids, types, padding=7, source="made up")


def test_batch_one_has_no_padding_and_holds_every_row(rows: Rows) -> None:
    described, requests = workload.build(rows, 1, None, "exact", seed=0)
    assert described.padding == 0
    assert described.useful_tokens == described.processed_tokens == sum(LENGTHS)
    found = sorted(request["input_ids"][0].tolist() for request in requests)
    assert found == [row.tolist() for row in rows.ids]
    assert all(request["token_type_ids"].all() for request in requests)


@pytest.mark.parametrize(
    ("policy", "widths"),
    [
        ("exact", LENGTHS),
        ("multiple8", [8, 8, 16, 24, 40, 40, 8]),
        ("buckets", [16, 16, 16, 24, 48, 48, 16]),
    ],
)
def test_a_policy_says_how_long_a_row_becomes(
    rows: Rows, policy: workload.Policy, widths: list[int]
) -> None:
    for row, width in enumerate(widths):
        request = workload.request(rows, [row], policy)
        assert request["input_ids"].shape == (1, width)
        assert request["attention_mask"].sum() == LENGTHS[row]
        assert (request["input_ids"][0, LENGTHS[row] :] == 7).all()


def test_padding_of_a_batch_counts(rows: Rows) -> None:
    described, requests = workload.build(rows, 7, None, "exact", seed=0)
    assert described.requests == 1
    assert requests[0]["input_ids"].shape == (7, 40)
    assert described.padding == pytest.approx(1 - sum(LENGTHS) / (7 * 40))


def test_a_batch_larger_than_the_data_repeats_rows(rows: Rows) -> None:
    described, requests = workload.build(rows, 16, None, "exact", seed=0)
    assert described.requests == 1
    assert requests[0]["input_ids"].shape[0] == 16


def test_a_fixed_length_cuts_and_repeats_real_tokens(rows: Rows) -> None:
    described, requests = workload.build(rows, 2, 6, "exact", seed=0)
    assert {request["input_ids"].shape for request in requests} == {(2, 6)}
    assert described.padding == 0
    known = {token for row in rows.ids for token in row.tolist()}
    assert {token for r in requests for token in r["input_ids"].ravel().tolist()} <= known


def test_a_bucket_never_cuts(rows: Rows) -> None:
    assert workload.padded(700, "buckets") == 700


@pytest.mark.parametrize(("batch", "requests"), [(1, 16_384), (5, 3276), (20_000, 1)])
def test_of_very_many_rows_some_are_drawn(batch: int, requests: int) -> None:
    """A million rows were gigabytes in every worker. All of them count for accuracy."""
    ids = [np.array([row]) for row in range(40_000)]
    many = Rows(ids, ids, padding=0, source="made up")
    described, found = workload.build(many, batch, None, "exact", seed=0)
    assert described.requests == len(found) == requests
    assert described.rows == described.useful_tokens == batch * requests
    drawn = np.concatenate([request["input_ids"].ravel() for request in found])
    assert len({*drawn.tolist()}) == batch * requests
    assert drawn.max() > 39_000
    assert len(workload.one_by_one(many)) == 40_000


def test_a_text_holds_what_else_ends_a_line_and_no_mark_of_bytes(tmp_path: Path) -> None:
    texts = tmp_path / "texts.txt"
    texts.write_bytes("\ufeffa film\r\na film\n\nbad\u2028and long\n".encode())
    folder = Path(__file__).parents[1] / "data" / "v01" / "sealed" / "teacher"
    first, second, third = reading.of_texts(texts, folder).ids
    assert first.tolist() == second.tolist()
    assert len(third) > len(first)
