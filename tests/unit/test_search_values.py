"""Estimates of harm: exact where a part is linear, falling, and blind to tokens nobody reads."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from transformers import PreTrainedModel

from jpqd.model import families, shrink
from jpqd.search import values
from jpqd.search.space import Space
from jpqd.tasks.classification import Classification
from tests.helpers import latency, small

KIND = Classification(("0", "1"), ("0", "1"))


def tried(model: PreTrainedModel) -> Any:
    """What the estimates read of candidates: units are ranked by their number, the first best."""
    counts = [count for layer in shrink.sizes(model) for count in layer]
    ranks = [np.arange(count, 0, -1.0) for count in counts]
    rows = [(small.batch(seed=seed), small.LABELS) for seed in range(3)]
    return SimpleNamespace(network=model, kind=KIND, ranks=ranks, rows=rows)


def harms(model: PreTrainedModel) -> list[list[float]]:
    space = Space(tuple(shrink.sizes(model)), latency.table(model), "int8")
    return values.harms(tried(model), space)


@pytest.mark.parametrize("family", small.FAMILIES)
def test_less_harms_more_and_all_harms_nothing(family: str) -> None:
    found = harms(small.model(family))
    assert [len(part) for part in found] == [5, 4] * small.LAYERS
    for part in found:
        assert part == sorted(part, reverse=True)
        assert part[0] > 0
        assert part[-1] == 0


def test_units_that_say_what_others_say_harm_nothing() -> None:
    model = small.model()
    layer = families.layers(model)[1]
    with torch.no_grad():
        for name in ("weight", "bias"):  # the last neurons repeat the first ones
            given = getattr(layer.intermediate.dense, name)
            given[16:] = given[:8]
    part = harms(model)[3]
    assert part[2] < 0.02 * part[1]


def test_errors_count_only_where_the_loss_depends_on_them() -> None:
    """In the last layer the head reads the first token; what others say there is lost anyway."""
    model = small.model()
    before = harms(model)
    layer = families.layers(model)[-1]
    real = layer.output.dense.forward

    def wild(inputs: torch.Tensor) -> torch.Tensor:
        return real(torch.cat([inputs[:, :1], 1000 * inputs[:, 1:]], 1))

    layer.output.dense.forward = wild
    np.testing.assert_allclose(harms(model)[-1], before[-1], rtol=1e-3)


def test_what_is_empty_already_harms_nothing_and_the_model_is_left_as_it_was() -> None:
    model = small.model()
    full = tuple(range(small.NEURONS))
    shrink.cut(model, [shrink.Kept((), full), *[shrink.Kept((0, 1), full)] * 2])
    before = small.logits(model, small.batch())
    found = harms(model)
    assert found[0] == [0.0]
    assert len(found[2]) == 3
    torch.testing.assert_close(small.logits(model, small.batch()), before)
    assert all(parameter.grad is None for parameter in model.parameters())
