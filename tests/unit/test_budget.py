"""The budget by its promises, for pools that nobody thought of."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from jpqd.methods.prune.budget import Pool, choose, extremes

Chosen = list[tuple[int, ...]]


@st.composite
def pools(draw: st.DrawFn, limits: bool = True, cost: int | None = None) -> list[Pool]:
    """Up to five pools; scores with ties, blocks that do not divide the members."""
    found = []
    for layer in range(draw(st.integers(1, 5))):
        scores = draw(st.lists(st.integers(0, 9), min_size=1, max_size=12))
        least = draw(st.integers(0, len(scores))) if limits else 0
        found.append(
            Pool(
                layer=layer,
                scores=np.array(scores, dtype=float),
                cost=cost or draw(st.integers(1, 30)),
                block=draw(st.integers(1, 4)) if cost is None else 1,
                least=least,
                most=draw(st.integers(least, len(scores))) if limits else None,
            )
        )
    return found


def spent(given_pools: list[Pool], kept: Chosen) -> int:
    return sum(pool.cost * len(members) for pool, members in zip(given_pools, kept, strict=True))


@given(pools(), st.floats(0, 1))
@settings(max_examples=80, deadline=None)
def test_every_budget_between_the_extremes_is_kept(given_pools: list[Pool], share: float) -> None:
    least, most = extremes(given_pools)
    budget = least + share * (most - least)
    kept = choose(given_pools, budget)
    assert least <= spent(given_pools, kept) <= max(budget, least) + 1e-9
    for pool, members in zip(given_pools, kept, strict=True):
        assert len(members) == len(set(members))
        assert len(members) >= pool.least
        assert len(members) <= max(pool.most or 0, -(-pool.least // pool.block) * pool.block)


@given(pools())
@settings(max_examples=80, deadline=None)
def test_both_extremes_can_be_reached(given_pools: list[Pool]) -> None:
    """Or the message about a `keep` out of reach would promise what cannot be had."""
    least, most = extremes(given_pools)
    assert spent(given_pools, choose(given_pools, 0)) == least
    assert spent(given_pools, choose(given_pools, 1e9)) == most


@given(pools(limits=False), st.floats(0, 1))
@settings(max_examples=80, deadline=None)
def test_less_than_a_unit_of_the_budget_is_left(given_pools: list[Pool], share: float) -> None:
    whole = extremes(given_pools)[1]
    left = share * whole - spent(given_pools, choose(given_pools, share * whole))
    largest = max(pool.cost * min(pool.block, len(pool.scores)) for pool in given_pools)
    assert left + 1e-9 >= 0
    assert left < largest or share == 1


@given(pools(limits=False), st.floats(0, 1))
@settings(max_examples=80, deadline=None)
def test_a_pool_keeps_its_best(given_pools: list[Pool], share: float) -> None:
    kept = choose(given_pools, share * extremes(given_pools)[1])
    for pool, members in zip(given_pools, kept, strict=True):
        gone = set(range(len(pool.scores))) - set(members)
        if pool.block == 1 and members and gone:
            assert pool.scores[list(members)].min() >= pool.scores[list(gone)].max()


@given(pools(limits=False, cost=7), st.floats(0, 1), st.floats(0, 1))
@settings(max_examples=80, deadline=None)
def test_what_a_smaller_budget_keeps_a_larger_one_keeps_too(
    given_pools: list[Pool], one: float, other: float
) -> None:
    """Where all units cost the same. Else a large unit may take the place of a small one."""
    whole = extremes(given_pools)[1]
    small, large = (choose(given_pools, share * whole) for share in sorted((one, other)))
    assert all(set(few) <= set(many) for few, many in zip(small, large, strict=True))


def test_the_most_valuable_for_the_budget_stay_wherever_they_are() -> None:
    found = choose(
        [Pool(0, np.array([5.0, 1.0, 3.0]), cost=2), Pool(1, np.array([4.0, 2.0]), cost=2)], 6
    )
    assert found == [(0, 2), (0,)]


def test_neurons_go_in_blocks_of_the_best_the_next_best_and_so_on() -> None:
    (kept,) = choose([Pool(0, np.array([1.0, 9.0, 2.0, 8.0, 3.0, 7.0]), cost=1, block=2)], 5)
    assert kept == (1, 3, 4, 5)
