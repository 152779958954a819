"""The moving average against the formula, step by step."""

from pathlib import Path

import torch
from torch import nn

from jpqd.training.averaging import Average


def moved(model: nn.Linear, average: Average, steps: int) -> None:
    for step in range(1, steps + 1):
        with torch.no_grad():
            model.weight.fill_(float(step))
        average.update(model, step, ())


def test_the_average_follows_the_weights_with_the_decay_of_eight_steps_at_once() -> None:
    model, average = nn.Linear(1, 1), Average(0.9)
    with torch.no_grad():
        model.weight.fill_(0.0)
    average.start(model)
    moved(model, average, 16)
    first = (9 / 18) ** 8 * 0 + (1 - (9 / 18) ** 8) * 8
    decay = min(0.9, 17 / 26) ** 8
    assert torch.isclose(average.weights["weight"], torch.tensor(decay * first + (1 - decay) * 16))


def test_applied_puts_the_average_in_and_takes_it_out_again() -> None:
    model, average = nn.Linear(2, 2), Average(0.9)
    average.start(model)
    before = model.weight.detach().clone()
    with torch.no_grad():
        model.weight.add_(1.0)
    with average.applied(model):
        assert torch.equal(model.weight, before)
    assert torch.equal(model.weight, before + 1)


def test_frozen_weights_are_left_alone_and_the_rest_comes_back_from_disk(tmp_path: Path) -> None:
    model, average = nn.Linear(2, 2), Average(0.9)
    model.bias.requires_grad_(False)
    average.start(model)
    assert average.weights.keys() == {"weight"}
    average.save(tmp_path / "average.safetensors")
    other = Average(0.9)
    other.load(tmp_path / "average.safetensors", model)
    assert torch.equal(other.weights["weight"], average.weights["weight"])


def test_a_stage_of_few_steps_has_learnt_something_in_the_end() -> None:
    model, average = nn.Linear(1, 1), Average(0.9)
    with torch.no_grad():
        model.weight.fill_(0.0)
    average.start(model)
    for step in (1, 2, 3):
        with torch.no_grad():
            model.weight.fill_(float(step))
        average.update(model, step, {3})
    kept = (4 / 13) ** 3
    assert torch.isclose(average.weights["weight"], torch.tensor((1 - kept) * 3.0))


def test_each_step_counts_once_around_one_that_is_evaluated() -> None:
    model, average = nn.Linear(1, 1), Average(0.5)
    with torch.no_grad():
        model.weight.fill_(0.0)
    average.start(model)
    for step in range(1, 17):
        with torch.no_grad():
            model.weight.fill_(float(step >= 11))
        average.update(model, step, {10})
    assert torch.isclose(average.weights["weight"], torch.tensor(1 - 0.5**6))
