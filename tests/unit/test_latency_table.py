"""A latency table: what it says of a model, and how it is found from whole models."""

from pathlib import Path

import numpy as np
import pytest

from jpqd.core import latency_table
from jpqd.core.errors import UserError
from jpqd.core.latency_table import Checked, LatencyTable, Precision, Times, middle
from runtime_bench.table import explain, make, near, structures
from runtime_bench.table.fit import Parts
from runtime_bench.table.structures import Whole
from runtime_bench.table.texts import Texts
from runtime_bench.table.timing import Times as Measured


def times(units: int, ms: float, mb: float) -> Times:
    return Times(
        units=units, ms=[ms, 2 * ms], low=[ms, ms], high=[ms, 2 * ms], mb=mb, peak_mb=3 * mb
    )


@pytest.fixture
def table() -> LatencyTable:
    """Two layers of 4 heads and 128 neurons, at two lengths."""
    precision = Precision(
        name="int8",
        computes="int8",
        rest=times(0, 1.0, 5.0),
        heads=[times(0, 0.0, 0.0), times(1, 0.3, 0.1), times(4, 0.6, 0.4)],
        neurons=[times(0, 0.0, 0.0), times(64, 0.2, 0.2), times(128, 0.4, 0.4)],
        disturbed=0.0,
    )
    return LatencyTable(
        device="CPU", device_name="some CPU", threads=1, layers=2, heads=4, neurons=128,
        lengths=[8, 16], shares=[0.4, 0.6], precisions=[precision], checked=[], environment={},
    )  # fmt: skip


def test_a_model_costs_the_rest_and_its_layers(table: LatencyTable) -> None:
    assert table.times([(0, 0), (0, 0)], "int8") == [1.0, 2.0]
    assert table.times([(4, 128), (1, 64)], "int8") == pytest.approx([2.5, 5.0])
    assert table.size_mb([(4, 128), (1, 64)], "int8") == pytest.approx(6.1)


def test_between_two_entries_costs_grow_evenly(table: LatencyTable) -> None:
    assert table.times([(2, 0), (0, 0)], "int8")[0] == pytest.approx(1.4)
    assert table.times([(0, 96), (0, 0)], "int8")[0] == pytest.approx(1.3)
    assert table.size_mb([(2, 0), (0, 0)], "int8") == pytest.approx(5.2)
    assert table.peak_mb([(2, 0), (0, 0)], "int8") == pytest.approx(15.6)


def test_half_of_the_texts_do_not_exceed_the_median(table: LatencyTable) -> None:
    assert table.p50_ms([(0, 0), (0, 0)], "int8") == 2.0
    assert middle([3.0, 1.0, 2.0], [0.2, 0.5, 0.3]) == 1.0


def test_what_the_table_does_not_know_is_refused(table: LatencyTable) -> None:
    with pytest.raises(UserError, match="no 'f32'"):
        table.times([(0, 0), (0, 0)], "f32")
    with pytest.raises(ValueError, match="goes from 0 to 4"):
        table.times([(5, 0), (0, 0)], "int8")
    with pytest.raises(ValueError, match="3 layers, but the table is of 2"):
        table.times([(1, 0)] * 3, "int8")


def test_the_error_is_that_of_the_checked_models(table: LatencyTable) -> None:
    found = [
        Checked(structure=[], precision="int8", predicted_ms=ms, measured_ms=1.0, low=1, high=1)
        for ms in (1.1, 0.8)
    ]
    checked = table.model_copy(update={"checked": found})
    assert checked.error("int8") == pytest.approx(0.15)
    assert checked.margin("int8") == pytest.approx(1.25)


def test_a_table_for_texts_in_other_shares_has_their_error(table: LatencyTable) -> None:
    """It is right about the long texts and wrong about the short ones."""
    structure = [(0, 0), (0, 0)]
    one = Checked(
        structure=structure, precision="int8", predicted_ms=2.0, measured_ms=2.0, low=1.9, high=2.1,
        by_length=[(1.5, 1.4, 1.6), (2.0, 1.9, 2.1)],
    )  # fmt: skip
    known = table.model_copy(update={"checked": [one]})
    others = Texts((8, 16), (0.7, 0.3), [], np.array([]))
    (again,) = make._with_shares(known, others).checked
    assert (again.predicted_ms, again.measured_ms, again.low, again.high) == (1.0, 1.5, 1.4, 1.6)
    same = Texts((8, 16), (0.4, 0.6), [], np.array([]))
    assert make._with_shares(known, same) == known


def test_the_whole_model_takes_what_was_measured(table: LatencyTable) -> None:
    whole = [(4, 128), (4, 128)]
    known = table.model_copy(update={"whole_ms": {"int8": 7.0}})
    assert known.p50_ms(whole, "int8") == 7.0
    less = [(4, 128), (3, 128)]
    assert known.p50_ms(less, "int8") == table.p50_ms(less, "int8")


def test_a_table_is_put_on_the_time_of_a_plans_model(table: LatencyTable) -> None:
    """It said 4 ms, and half of all texts took at most 4.4 ms; the whole took 9."""
    plan, whole, more = [(1, 64), (1, 64)], [(4, 128), (4, 128)], [(1, 64), (4, 128)]
    ms = np.array([[5.0, 9.0], [3.0, 4.4]])
    bodies = np.tile([0, 1, 1], (5, 10))
    measured = Measured(
        ms=np.where(bodies == 0, ms[:, None, None, 0], ms[:, None, None, 1]),
        bodies=bodies, sizes=np.ones(2), peaks=np.ones(2), disturbed=0.25, computes="int8",
    )  # fmt: skip
    found = near.scaled(table, "int8", plan, measured)
    assert found.p50_ms(plan, "int8") == pytest.approx(4.4)
    assert found.times(more, "int8") == pytest.approx([1.1 * 2.5, 1.1 * 5.0])
    assert found.p50_ms(whole, "int8") == pytest.approx(9.0)
    assert found.size_mb(plan, "int8") == table.size_mb(plan, "int8")
    assert not found.checked
    assert found.margin("int8") == 1.025
    assert found.of("int8").disturbed == 0.25


def test_a_table_survives_its_file(table: LatencyTable, tmp_path: Path) -> None:
    latency_table.save(table, tmp_path)
    assert latency_table.load(tmp_path) == table
    (tmp_path / latency_table.FILE).write_text("{}")
    with pytest.raises(UserError, match="cannot be read as a latency table"):
        latency_table.load(tmp_path)


WHOLE = Whole(layers=12, heads=12, neurons=3072, step=64)


def test_costs_are_known_more_closely_where_there_is_little() -> None:
    assert structures.knots(12, 1) == [0, 1, 2, 4, 8, 12]
    assert structures.knots(3072, 64) == [0, 64, 128, 256, 512, 1024, 2048, 3072]
    assert structures.knots(24, 24) == [0, 24]


def test_measured_models_are_uneven_and_fit_the_dense_one() -> None:
    models = structures.models(WHOLE)
    assert {len(model) for model in models.fitted + models.checked} == {12}
    assert not [model for model in models.fitted if model.count((0, 0)) > 6]  # compile in seconds
    large = structures.models(Whole(24, 16, 4096, 64))
    assert {len(model) for model in large.fitted} == {12, 24}
    assert {len(model) for model in large.checked} == {24}
    for model in models.fitted + models.checked:
        assert all(0 <= heads <= 12 for heads, _ in model)
        assert all(0 <= neurons <= 3072 and neurons % 64 == 0 for _, neurons in model)
    assert not [model for model in models.checked if model in models.fitted]
    shares = [sum(n for _, n in model) / (12 * 3072) for model in models.checked]
    assert min(shares) < 0.1
    assert max(shares) > 0.6


def test_least_squares_finds_the_costs_that_models_were_made_of() -> None:
    models = structures.models(WHOLE).fitted
    parts = Parts(WHOLE, models)
    totals = np.array(
        [
            [1 + 0.1 * len(model) + sum((h > 0) + 0.2 * h + 0.001 * n for h, n in model)]
            for model in models
        ]
    )
    costs = parts.costs(totals)
    assert costs.rest[0] == pytest.approx(1 + 0.1 * 12)
    assert costs.heads[:, 0] == pytest.approx([0.0, *(1 + 0.2 * h for h in parts.heads[1:])])
    assert costs.neurons[:, 0] == pytest.approx([0.001 * n for n in parts.neurons])


def test_medians_are_taken_for_each_model_and_length() -> None:
    ms = np.array([[[1.0, 5.0], [3.0, 5.0], [2.0, 9.0]]])
    bodies = np.array([[0, 1]] * 3)
    found = Measured(ms, bodies, np.array([7]), np.array([9]), 0.0, "int8").middles()
    assert found.tolist() == [[2.0, 5.0]]


def test_a_group_that_ran_on_a_slower_machine_is_put_on_the_scale_of_the_others() -> None:
    models = structures.models(WHOLE)
    every = [*models.fitted, *models.checked]

    def ms(number: int) -> float:
        heads, neurons = (sum(column) for column in zip(*every[number], strict=True))
        return 1 + 0.1 * len(every[number]) + 0.2 * heads + 0.001 * neurons

    def group(numbers: list[int], slower: float) -> tuple[list[int], Measured]:
        found = np.array([[[slower * ms(number)]] * 6 for number in numbers])
        sizes = np.full(len(numbers), 10**7)
        peaks = np.array([100 + 5 * ms(number) for number in numbers])
        return numbers, Measured(found, np.zeros((6, 1), int), sizes, peaks, 0.0, "int8")

    own = [number for number in range(len(every)) if number not in models.shared]
    measured = [
        group([*models.shared, *own[0::2]], 1.0),
        group([*models.shared, *own[1::2]], 1.5),
    ]
    precision = explain.precision("int8", measured, models, WHOLE)
    table = LatencyTable(
        device="CPU", device_name="some CPU", threads=1, layers=12, heads=12, neurons=3072,
        lengths=[8], shares=[1.0], precisions=[precision], checked=[], environment={},
    )  # fmt: skip
    checked = list(explain.checked("int8", measured, models, table))
    between = 1.5**0.5
    for number, one in enumerate(checked):
        assert one.predicted_ms == pytest.approx(one.measured_ms, rel=0.001)
        assert one.measured_ms == pytest.approx(between * ms(len(models.fitted) + number))
        assert one.measured_peak_mb == pytest.approx(100 + 5 * ms(len(models.fitted) + number))
        assert one.predicted_peak_mb == pytest.approx(one.measured_peak_mb, rel=0.01)
        assert one.by_length == [pytest.approx((one.measured_ms, one.low, one.high))]
