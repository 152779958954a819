"""Sizes and operations against what torch itself counts while a model runs."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from jpqd.model import families, shrink, size
from jpqd.model.shrink import Kept
from tests.helpers import small

UNEVEN = [Kept((), (1, 2)), Kept((0, 3), ()), Kept((1,), (0, 5, 6))]


@pytest.fixture(params=small.FAMILIES)
def family(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


def counted(model: Any, tokens: int) -> int:
    """For one text, with the products of attention written out."""
    model.requires_grad_(False)
    with FlopCounterMode(display=False) as counter:
        model(torch.full((1, tokens), 7), attention_mask=torch.ones(1, tokens))
    total: int = counter.get_total_flops()
    return total


@pytest.mark.parametrize("cut", [False, True])
def test_operations_are_those_that_torch_counts(family: str, cut: bool) -> None:
    model = small.model(family, attn_implementation="eager")
    if cut:
        shrink.cut(model, UNEVEN)
    angles = 4 * 2 * small.LAYERS if families.of(model).positions is None else 0
    for tokens in (16, 48):
        assert size.operations(model, tokens) == counted(model, tokens) - angles * tokens


def test_facts_of_a_cut_model(family: str) -> None:
    """Parameters by hand: heads of 8 in a hidden size of 32."""
    model = small.model(family)
    before = size.facts(model)
    assert before.parameters == sum(p.numel() for p in small.model(family).parameters())
    assert before.encoder_share == 1.0
    shrink.cut(model, UNEVEN)
    after = size.facts(model)
    assert after.dense and before.encoder_weights and before.gflops_128
    head, neuron = 8 * (3 * 33 + 32), 2 * 32 + 1
    if family == "modernbert":  # no biases, and two projections make a neuron
        head, neuron = 8 * 4 * 32, 3 * 32
    gone = head * (3 * 4 - 3) + neuron * (3 * 24 - 5)
    assert before.parameters - after.parameters == gone
    assert after.encoder_weights == before.encoder_weights - gone
    assert after.encoder_share == pytest.approx(1 - gone / before.encoder_weights)
    assert after.dense.encoder_weights == before.encoder_weights
    assert after.dense.gflops_128 == before.gflops_128 > after.gflops_128
    assert after.layers == [(0, 2), (2, 0), (1, 3)]


def test_quantizers_and_zeros_are_not_counted() -> None:
    model = small.model()
    plain = size.facts(model)
    small.quantize(model)
    quantized = size.facts(model)
    assert (plain.precision, quantized.precision) == ("FP32", "INT8")
    assert quantized == plain.model_copy(update={"precision": "INT8"})
    with torch.no_grad():
        layer: Any = model.base_model.get_submodule("encoder.layer.0.intermediate.dense")
        layer.weight[:12] = 0
    assert plain.encoder_weights
    share = 12 * 32 / plain.encoder_weights
    assert size.facts(model).nonzero_share == pytest.approx(1 - share)


def test_layers_that_went_count_as_gone() -> None:
    model = small.model()
    shrink.drop_layers(model, [0, 2])
    found = size.facts(model)
    assert found.encoder_share == pytest.approx(2 / 3)
    assert len(found.layers) == 2
