"""The order of an epoch: every row, in batches of like length, the same whenever it is drawn."""

from collections import Counter

import numpy as np
import pytest

from jpqd.data import batching


def lengths(rows: int) -> list[int]:
    found: list[int] = np.random.default_rng(1).integers(3, 128, rows).tolist()
    return found


def epoch(rows: int, batch: int, seed: int = 0, number: int = 0) -> list[int]:
    found: list[int] = batching.order(lengths(rows), batch, seed, number).ravel().tolist()
    return found


@pytest.mark.parametrize(("rows", "batch"), [(64, 8), (4800, 32), (7, 7), (5, 1)])
def test_every_row_comes_once_when_batches_divide_them(rows: int, batch: int) -> None:
    assert sorted(epoch(rows, batch)) == list(range(rows))


@pytest.mark.parametrize(("rows", "batch"), [(65, 8), (1001, 32), (33, 32)])
def test_the_last_batch_is_filled_with_rows_seen_once_more(rows: int, batch: int) -> None:
    counts = Counter(epoch(rows, batch))
    assert set(counts) == set(range(rows))
    assert sum(counts.values()) % batch == 0
    assert sum(counts.values()) - rows < batch
    assert max(counts.values()) == 2


@pytest.mark.parametrize("rows", [1, 3, 9])
def test_fewer_rows_than_a_batch_still_fill_one(rows: int) -> None:
    counts = Counter(epoch(rows, 16))
    assert sum(counts.values()) == 16
    assert set(counts) == set(range(rows))
    assert max(counts.values()) - min(counts.values()) <= 1


@pytest.mark.parametrize(("rows", "batches"), [(64, 8), (65, 9), (3, 1)])
def test_a_line_is_a_batch(rows: int, batches: int) -> None:
    assert batching.order(lengths(rows), 8, seed=0, epoch=0).shape == (batches, 8)


def test_the_same_seed_and_epoch_give_the_same_order() -> None:
    assert epoch(500, 16, seed=3, number=2) == epoch(500, 16, seed=3, number=2)


def test_another_epoch_or_seed_gives_another_order() -> None:
    orders = [epoch(500, 16, seed, number) for seed in (0, 1) for number in (0, 1)]
    assert len({tuple(order) for order in orders}) == 4


def test_rows_of_like_length_share_a_batch() -> None:
    sizes = np.array(lengths(16_000))
    batches = sizes[epoch(16_000, 32)].reshape(-1, 32)
    padding = 1 - sizes.sum() / (batches.max(axis=1).sum() * 32)
    assert padding < 0.05


def test_batches_do_not_come_in_the_order_of_their_length() -> None:
    sizes = np.array(lengths(16_000))
    means = sizes[epoch(16_000, 32)].reshape(-1, 32).mean(axis=1)
    assert abs(np.corrcoef(means, np.arange(len(means)))[0, 1]) < 0.2


def test_a_batch_is_another_set_of_rows_in_another_epoch() -> None:
    def batches(number: int) -> set[frozenset[int]]:
        order = np.array(epoch(3200, 32, number=number)).reshape(-1, 32)
        return {frozenset(batch.tolist()) for batch in order}

    assert not batches(0) & batches(1)
