"""The order of units: exact where a part is linear, and blind to tokens that nobody reads."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import nn
from transformers import PreTrainedModel

from jpqd.methods.prune import Prune, refit, surgeon
from jpqd.methods.prune.refit import pull
from jpqd.methods.prune.surgeon import Order, Part
from jpqd.model import families, shrink
from jpqd.tasks.classification import Classification
from tests.helpers import small
from tests.unit.test_refit import twins

KIND = Classification(("0", "1"), ("0", "1"))


def orders(model: PreTrainedModel) -> list[Order]:
    rows = [(small.batch(seed=seed), small.LABELS) for seed in range(3)]
    return [order for order in surgeon.orders(model, rows, KIND) if order]


def watched(width: int) -> Part:
    """A part that has read random tokens, some of which say what others say."""
    torch.manual_seed(0)
    part = Part(nn.Linear(12, 5), width)
    read = torch.randn(200, 12)
    read[:, 8:] = read[:, :4] + 0.1 * torch.randn(200, 4)
    part.seen(read, torch.randn(200, 5) * torch.tensor([3.0, 1.0, 1.0, 0.1, 0.0]))
    return part


def missing(part: Part, left: tuple[int, ...]) -> float:
    """What is lost without the others: least squares, by the whole of both matrices."""
    squares = part.squares.double()
    squares = squares + pull(squares) * torch.eye(len(squares))
    rows = [unit * part.width + place for unit in left for place in range(part.width)]
    rows.append(len(squares) - 1)
    weight, bias = part.projection.weight.detach(), part.projection.bias.detach()
    old = torch.cat([weight.T, bias[None]]).double()
    new = torch.zeros_like(old)
    new[rows] = torch.linalg.solve(squares[rows][:, rows], (squares @ old)[rows])
    lost = (old - new).T @ squares @ (old - new)
    return float((lost * part.gradients.double()).sum())


@pytest.mark.parametrize("width", [1, 3])
def test_harm_is_the_error_that_least_squares_leave(width: int) -> None:
    part = watched(width)
    order = part.order()
    count = 12 // width
    assert sorted(order.units) == list(range(count))
    for stays in range(count):
        wanted = missing(part, order.left(stays))
        assert order.harm_with(stays) == pytest.approx(wanted, rel=1e-3)
    assert order.harm_with(count) == 0


def test_the_first_unit_to_go_is_the_one_that_is_missed_least() -> None:
    part = watched(1)
    others = [tuple(set(range(12)) - {unit}) for unit in range(12)]
    first = part.order().units[0]
    assert first == int(np.argmin([missing(part, left) for left in others]))


def test_products_are_summed_in_f32_where_the_model_computes_in_bf16(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[tuple[Part, torch.Tensor, torch.Tensor]] = []
    real = Part.seen

    def watching(part: Part, read: torch.Tensor, gradient: torch.Tensor) -> None:
        seen.append((part, read, gradient))
        real(part, read, gradient)

    monkeypatch.setattr(Part, "seen", watching)
    surgeon.orders(small.model(), [(small.batch(), small.LABELS)], KIND, bf16=True)
    assert len(seen) == 2 * small.LAYERS
    for part, read, gradient in seen:
        assert read.dtype == torch.bfloat16
        counts = gradient.any(1)
        inputs = nn.functional.pad(read[counts].float(), (0, 1), value=1.0)
        assert part.squares.dtype == part.gradients.dtype == torch.float32
        torch.testing.assert_close(part.squares, inputs.T @ inputs)
        slopes = gradient[counts].float()
        torch.testing.assert_close(part.gradients, slopes.T @ slopes)


@pytest.mark.parametrize("family", small.FAMILIES)
def test_less_harms_more_and_all_harms_nothing(family: str) -> None:
    found = orders(small.model(family))
    assert [len(order.units) for order in found] == [small.HEADS, small.NEURONS] * small.LAYERS
    for order in found:
        assert list(order.harm) == sorted(order.harm)
        assert order.harm[0] == 0 < order.harm[-1]


def test_units_that_say_what_others_say_are_not_missed() -> None:
    model = small.model()
    layer = families.layers(model)[1]
    with torch.no_grad():
        for name in ("weight", "bias"):  # the last neurons repeat the first ones
            given = getattr(layer.intermediate.dense, name)
            given[16:] = given[:8]
    order = orders(model)[3]
    assert order.harm[8] < 0.02 * order.harm[-1]


def test_errors_count_only_where_the_loss_depends_on_them() -> None:
    """In the last layer the head reads the first token; what others say there is lost anyway."""
    model = small.model()
    before = orders(model)[-1]
    layer = families.layers(model)[-1]
    real = layer.output.dense.forward

    def wild(inputs: torch.Tensor) -> torch.Tensor:
        return real(torch.cat([inputs[:, :1], 1000 * inputs[:, 1:]], 1))

    layer.output.dense.forward = wild
    after = orders(model)[-1]
    assert after.units == before.units
    np.testing.assert_allclose(after.harm, before.harm, rtol=1e-3)


def test_what_is_empty_already_harms_nothing_and_the_model_is_left_as_it_was() -> None:
    model = small.model()
    full = tuple(range(small.NEURONS))
    shrink.cut(model, [shrink.Kept((), full), *[shrink.Kept((0, 1), full)] * 2])
    before = small.logits(model, small.batch())
    learns = [weight.requires_grad for weight in model.parameters()]
    rows = [(small.batch(), small.LABELS)]
    found = surgeon.orders(model, rows, KIND)
    assert found[0] is None or found[0].harm == (0.0,)
    assert found[2] is not None and len(found[2].units) == 2
    torch.testing.assert_close(small.logits(model, small.batch()), before)
    assert [weight.requires_grad for weight in model.parameters()] == learns
    assert all(parameter.grad is None for parameter in model.parameters())


def distance_after(score: str) -> float:
    """Cut half of a model whose every unit has a twin, solve it again, and compare its answers."""
    model = twins("bert")
    expected = small.logits(model, small.batch(64, seed=99))
    structure: Any = small.pruning(
        model, 0.5, score=score, schedule="one_shot", scope="layer", round_ffn_to=1
    ).structure
    if score == "surgeon":
        structure.order([(small.batch(), small.LABELS)] * 2, KIND, bf16=False)
    structure.mask(0.52)  # norms and biases are no units
    whole = refit.whole_layers(model)
    structure.cut()
    refit.refit(model, whole, (small.batch(32, seed=seed) for seed in range(8)))
    return float((small.logits(model, small.batch(64, seed=99)) - expected).abs().mean())


def test_one_of_two_twins_stays() -> None:
    assert distance_after("surgeon") < 0.3 * distance_after("random")


def test_it_goes_with_cuts_in_one_go_only() -> None:
    with pytest.raises(ValidationError, match="does not go with score: surgeon"):
        Prune(use="prune", keep=0.5, score="surgeon")
    with pytest.raises(ValidationError, match="heads and neurons"):
        Prune(use="prune", keep=0.5, score="surgeon", structure="layers", schedule="one_shot")
