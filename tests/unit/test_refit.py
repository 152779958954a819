"""Output projections solved again after a cut."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from transformers import PreTrainedModel

from jpqd.methods.prune.refit import refit, whole_layers
from jpqd.model import families, shrink
from jpqd.model.shrink import Kept
from tests.helpers import small

HALF = small.NEURONS // 2


def texts() -> Iterator[small.Batch]:
    return (small.batch(32, seed=seed) for seed in range(8))


def twins(family: str) -> PreTrainedModel:
    """A model whose second half of neurons and of heads repeats the first half of them."""
    model = small.model(family)
    arch = families.of(model)
    for layer in families.layers(model):
        for path in (*arch.ffn_in, *families.feeding(model, arch.attention_out)):
            part: Any = layer.get_submodule(path)
            half = part.out_features // 2
            part.weight.data[half:] = part.weight.data[:half]
            if part.bias is not None:
                part.bias.data[half:] = part.bias.data[:half]
    if arch.position_bias:  # each head reads a bias of its own: the twins read the same
        bias: Any = model.base_model.encoder.relative_attention_bias
        bias.weight.data[:, small.HEADS // 2 :] = bias.weight.data[:, : small.HEADS // 2]
    return model


def cut_by_half(model: PreTrainedModel, *, again: bool) -> None:
    whole = whole_layers(model)
    half = Kept(tuple(range(small.HEADS // 2)), tuple(range(HALF)))
    shrink.cut(model, [half] * small.LAYERS)
    if again:
        refit(model, whole, texts())


def distance(model: PreTrainedModel, expected: torch.Tensor) -> float:
    return float((small.logits(model, small.batch(64, seed=99)) - expected).abs().mean())


@pytest.mark.parametrize("family", small.FAMILIES)
def test_what_the_rest_can_say_is_said_after_the_cut(family: str) -> None:
    model = twins(family)
    expected = small.logits(model, small.batch(64, seed=99))
    cut_by_half(model, again=True)
    solved = distance(model, expected)
    other = twins(family)
    cut_by_half(other, again=False)
    assert solved < 0.1 * distance(other, expected)


@pytest.mark.parametrize("smooth", [0.0, 0.8])
def test_it_fits_what_is_quantized(smooth: float) -> None:
    model = twins("bert")
    expected = small.logits(model, small.batch(64, seed=99))
    small.quantize(model, smooth_quant=smooth)
    rounded = distance(model, expected)
    cut_by_half(model, again=True)
    assert distance(model, expected) < 3 * rounded


def test_layers_without_a_unit_keep_a_bias_that_fits() -> None:
    def nothing_left(*, again: bool) -> PreTrainedModel:
        model = small.model()
        whole = whole_layers(model)
        rest = Kept(tuple(range(small.HEADS)), tuple(range(small.NEURONS)))
        shrink.cut(model, [Kept((), ()), rest, Kept((0,), ())])
        if again:
            refit(model, whole, texts())
        return model

    expected = small.logits(small.model(), small.batch(64, seed=99))
    solved, left = nothing_left(again=True), nothing_left(again=False)
    assert distance(solved, expected) < distance(left, expected)


def test_a_layer_without_heads_does_not_read_the_smoothing_of_the_next() -> None:
    model = small.quantize(small.model(), smooth_quant=0.8)
    whole = whole_layers(model)
    rest = Kept((0, 1, 2), tuple(range(small.NEURONS)))
    shrink.cut(model, [Kept((), ()), rest, rest])
    assert refit(model, whole, texts())


def test_it_says_which_weights_changed_and_leaves_the_mode() -> None:
    model = twins("bert")
    model.train()
    whole = whole_layers(model)
    half = Kept(tuple(range(small.HEADS // 2)), tuple(range(HALF)))
    shrink.cut(model, [half] * small.LAYERS)
    before = {name: weight.detach().clone() for name, weight in model.named_parameters()}
    changed = refit(model, whole, texts())
    names = {name for name, weight in model.named_parameters() if weight in set(changed)}
    moved = {n for n, w in model.named_parameters() if not torch.equal(w, before[n])}
    assert names == moved
    assert len(names) == 4 * small.LAYERS
    assert all(module.training for module in families.layers(model).modules())


def test_dropout_takes_no_part_and_is_left_as_it_was() -> None:
    model = small.model(hidden_dropout_prob=0.5)
    other = small.model(hidden_dropout_prob=0.5)
    model.train()
    before = torch.get_rng_state()
    cut_by_half(model, again=True)
    assert torch.equal(torch.get_rng_state(), before)
    assert all(module.training for module in model.modules())
    cut_by_half(other, again=True)
    torch.testing.assert_close(dict(model.named_parameters()), dict(other.named_parameters()))
