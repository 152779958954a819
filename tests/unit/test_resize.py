"""What is kept beside the weights follows them through a cut: averages, moments, their names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from jpqd.model import shrink
from jpqd.model.shrink import Kept
from jpqd.training import resize
from jpqd.training.averaging import Average, trained
from tests.helpers import small

STILL_FIRST = [Kept((), (1, 2)), Kept((0, 3), ()), Kept((1,), (0, 5, 6))]


def marked(quantized: bool = True) -> tuple[Any, Average, torch.optim.AdamW]:
    """A model, an average that says of each number whose it was, and moments that do too."""
    model: Any = small.quantize(small.model()) if quantized else small.model()
    average, optimizer = Average(0.9), torch.optim.AdamW(model.parameters())
    with torch.no_grad():
        for _, weight in trained(model):
            weight += torch.rand_like(weight)  # no two alike
            weight.grad = torch.zeros_like(weight)
    average.start(model)
    optimizer.step()
    for parameter, state in optimizer.state.items():
        state["exp_avg"] = parameter.detach().clone()
    for name, weight in trained(model):
        weight.data.copy_(average.weights[name])
        average.weights[name] += 1
        optimizer.state[weight]["exp_avg"] = weight.detach() + 2
    return model, average, optimizer


def cut_heads(model: Any) -> Any:
    return shrink.cut(model, STILL_FIRST)


def cut_layers(model: Any) -> Any:
    shrink.drop_layers(model, [1, 2])
    return {}


@pytest.mark.parametrize("cut", [cut_heads, cut_layers])
def test_averages_and_moments_stay_with_their_weights(cut: Any) -> None:
    """Although names change: of layers, and of quantizers behind a layer that stands still."""
    model, average, optimizer = marked()
    slices = cut(model)
    resize.optimizer(optimizer, slices, model)
    average.resize(slices, model)
    assert average.weights.keys() == dict(trained(model)).keys()
    for name, weight in trained(model):
        torch.testing.assert_close(average.weights[name], weight.detach() + 1, msg=name)
        torch.testing.assert_close(optimizer.state[weight]["exp_avg"], weight.detach() + 2)
    held = {parameter for group in optimizer.param_groups for parameter in group["params"]}
    assert held == set(model.parameters())
    assert set(optimizer.state) <= held


def test_an_average_from_disk_follows_too(tmp_path: Path) -> None:
    model, average, _ = marked()
    average.save(tmp_path / "average.safetensors")
    loaded = Average(0.9)
    loaded.load(tmp_path / "average.safetensors", model)
    loaded.resize(cut_layers(model), model)
    for name, weight in trained(model):
        torch.testing.assert_close(loaded.weights[name], weight.detach() + 1, msg=name)


def test_an_optimizer_comes_back_by_the_names_of_its_parameters() -> None:
    model, _, optimizer = marked(quantized=False)
    resize.optimizer(optimizer, cut_heads(model), model)
    names = resize.order(optimizer, model)
    other = torch.optim.AdamW(reversed(list(model.parameters())))
    resize.load_optimizer(other, optimizer.state_dict(), names, model)
    for weight in model.parameters():
        assert torch.equal(other.state[weight]["exp_avg"], optimizer.state[weight]["exp_avg"])


@pytest.mark.parametrize("structure", ["heads_ffn", "layers"])
@pytest.mark.parametrize("after", ["rewind", "reinit"])
def test_after_a_rewind_average_and_moments_start_again(structure: str, after: str) -> None:
    """Also those of weights that the same step cuts."""
    model, average, optimizer = marked(quantized=False)
    hook = small.pruning(
        model, 0.5, structure=structure, score="magnitude", schedule="one_shot", after=after
    )
    hook.step(0.0)
    early = {weight: weight.detach().clone() for weight in model.parameters()}
    with torch.no_grad():
        for weight in model.parameters():
            weight += 1
    hook.step(0.5)
    assert hook.is_cut
    slices = hook.resized()
    assert slices is not None
    resize.optimizer(optimizer, slices, model)
    average.resize(slices, model)
    assert not optimizer.state
    for name, weight in trained(model):
        assert torch.equal(average.weights[name], weight)
        if after == "rewind" and weight.shape == early[weight].shape:
            assert torch.equal(weight, early[weight])
