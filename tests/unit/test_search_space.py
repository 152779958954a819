"""A search's space and the strategies that need no model to run: limits are kept, dp is exact."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jpqd.core.compression_plan import Structure
from jpqd.core.errors import UserError
from jpqd.core.latency_table import Checked, LatencyTable
from jpqd.search import targets
from jpqd.search.options import Target
from jpqd.search.space import Limits, Space, Values
from jpqd.search.strategies import dp, greedy
from tests.helpers import latency, small

TABLE = latency.table(small.model())
DEEP = {"num_hidden_layers": 8, "intermediate_size": 96}
SIZES: Structure = ((4, 24), (4, 24), (4, 24))


def space(sizes: Structure = SIZES, table: LatencyTable = TABLE) -> Space:
    return Space(sizes, table, "int8")


def harms(space: Space, seed: int) -> Values:
    """Harm that falls with what is left, to nothing where all is."""
    random = np.random.default_rng(seed)
    return [
        np.append(np.cumsum(random.exponential(random.exponential(), len(o) - 1))[::-1], 0.0)
        for o in space.options
    ]


def total(values: Values, choice: tuple[int, ...]) -> float:
    return float(sum(own[at] for own, at in zip(values, choice, strict=True)))


shares = st.floats(0.0, 1.0)
seeds = st.integers(0, 10_000)


def limit(space: Space, share: float, *, size: bool = False) -> Limits:
    def between(low: float, high: float) -> float:
        return low + share * (high - low) + 1e-9

    ms = between(space.p50_ms(space.least), space.p50_ms(space.whole))
    mb = between(space.size_mb(space.least), space.size_mb(space.whole))
    return Limits(ms, mb) if size else Limits(ms)


def test_options_are_the_steps_of_the_table_up_to_what_a_part_has() -> None:
    assert space().options[:2] == [(0, 1, 2, 3, 4), (0, 8, 16, 24)]
    cut = space(((2, 20), (0, 24), (4, 0)))
    assert cut.options == [(0, 1, 2), (0, 8, 16, 20), (0,), (0, 8, 16, 24), (0, 1, 2, 3, 4), (0,)]
    assert cut.structure(cut.whole) == cut.sizes


def test_costs_add_up_to_the_time_of_the_table() -> None:
    found = space()
    for choice in product(*(range(len(options)) for options in found.options[:3])):
        whole = (*choice, *found.whole[3:])
        parts = [ms[at] for ms, at in zip(found.ms, whole, strict=True)]
        assert found.rest_ms + sum(parts) == pytest.approx(found.p50_ms(whole))


@settings(deadline=None, max_examples=40)
@given(share=shares, seed=seeds, size=st.booleans())
def test_dp_finds_the_least_harm_of_all_choices(share: float, seed: int, size: bool) -> None:
    found = space(
        SIZES[:2], latency.table(small.of("bert", **{**small.SIZES, "num_hidden_layers": 2}))
    )
    values, limits = harms(found, seed), limit(found, share, size=size)
    best = min(
        total(values, choice)
        for choice in product(*(range(len(options)) for options in found.options))
        if found.within(choice, limits)
    )
    chosen = dp.solve(found, values, limits)
    assert found.within(chosen, limits)
    assert total(values, chosen) == pytest.approx(best)


@settings(deadline=None, max_examples=60)
@given(share=shares, seed=seeds, size=st.booleans())
def test_dp_is_never_worse_than_greedy(share: float, seed: int, size: bool) -> None:
    found = space()
    values, limits = harms(found, seed), limit(found, share, size=size)
    steps, exact = (solve(found, values, limits) for solve in (greedy.solve, dp.solve))
    assert found.within(steps, limits)
    assert found.within(exact, limits)
    assert total(values, exact) <= total(values, steps) + 1e-9


@settings(deadline=None, max_examples=10)
@given(share=st.floats(0.05, 1.0), seed=seeds)
def test_dp_keeps_the_limits_where_it_thins_out(share: float, seed: int) -> None:
    model = small.of("bert", **{**small.SIZES, **DEEP})
    found = space(((4, 96),) * 8, latency.table(model))
    values, limits = harms(found, seed), limit(found, share, size=True)
    exact, steps = (solve(found, values, limits) for solve in (dp.solve, greedy.solve))
    assert found.within(exact, limits)
    assert total(values, exact) <= total(values, steps) * 1.01 + 1e-9


@given(share=shares, seed=seeds)
@settings(deadline=None, max_examples=30)
def test_shares_are_scaled_to_the_limits(share: float, seed: int) -> None:
    found = space()
    wanted = np.random.default_rng(seed).uniform(0.1, 1, 6).tolist()
    limits = limit(found, share, size=True)
    assert found.within(found.fitted(wanted, limits), limits)
    assert found.fitted(wanted, Limits()) == found.whole


@given(share=st.floats(0.1, 1.0), seed=seeds)
@settings(deadline=None, max_examples=30)
def test_limits_are_kept_where_the_median_is_of_another_length(share: float, seed: int) -> None:
    """Lengths whose times cross: the whole model is slowest at one, small ones at the other."""
    table = latency.table(small.model(), (12, 24), (0.5, 0.5))
    for step in table.of("int8").heads[1:]:
        step.ms[0] *= 3
    found = space(table=table)
    values, limits = harms(found, seed), limit(found, share)
    assert found.within(dp.solve(found, values, limits), limits)
    assert found.within(greedy.solve(found, values, limits), limits)


def test_a_target_leaves_room_for_the_error_of_the_table() -> None:
    """Of ten checked models nine took at most 1.08 times what was predicted."""
    took = [0.95, 0.97, 0.98, 0.99, 1.0, 1.01, 1.02, 1.04, 1.08, 1.4]
    checked = [
        Checked(
            structure=[(1, 8)], precision="int8", predicted_ms=2.0, measured_ms=2.0 * ratio,
            low=1.0, high=3.0,
        )
        for ratio in took
    ]  # fmt: skip
    given = space(table=TABLE.model_copy(update={"checked": checked}))
    dense = given.p50_ms(given.whole)
    assert targets.limits(given, Target(speedup=2)).ms == pytest.approx(dense / 2 / 1.08)
    assert targets.limits(given, Target(p50_ms=dense)).ms == pytest.approx(dense / 1.08)
    least = given.p50_ms(given.least)
    assert targets.limits(given, Target(p50_ms=1.01 * least)).ms == pytest.approx(1.01 * least)
    assert targets.limits(given, Target(speedup=2), 1.2).ms == pytest.approx(dense / 2 / 1.2)
    with pytest.raises(UserError, match=r"and a margin of 1\.2"):
        targets.refuse_unreachable(given, Target(p50_ms=1.01 * least), "found", 1.2)
    unchecked = targets.limits(space(), Target(speedup=2))
    assert unchecked.ms == pytest.approx(dense / 2 / 1.025)  # what a machine wanders by


def test_a_table_without_int8_has_times_but_no_speedup() -> None:
    only = TABLE.model_copy(update={"precisions": [one for one in TABLE.precisions
                                                   if one.name == "f32"]})  # fmt: skip
    given = Space(SIZES, only, "f32")
    assert targets.dense_ms(given) == given.p50_ms(given.whole)
    targets.refuse_unreachable(given, Target(p50_ms=given.p50_ms(given.whole)), "found")
    with pytest.raises(UserError, match="Add int8 to its precisions, or give p50_ms"):
        targets.refuse_unreachable(given, Target(speedup=2), "found")
