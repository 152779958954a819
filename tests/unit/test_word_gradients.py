"""Gradients of a table of words are PyTorch's, whatever rows the steps before have read."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from jpqd.training import word_gradients
from jpqd.training.word_gradients import WordGradients


class Model(nn.Module):
    def __init__(self, *, tied: bool = False) -> None:
        super().__init__()
        self.words = nn.Embedding(50, 6, padding_idx=0)
        self.out = nn.Linear(6, 50 if tied else 3, bias=False)
        if tied:
            self.out.weight = self.words.weight

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return self.out(torch.tanh(self.words(ids))).square().mean()  # type: ignore[no-any-return]


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(word_gradients, "_LARGE", 100)


@pytest.mark.parametrize("tied", [False, True])
def test_steps_train_as_with_pytorchs_own_gradients(tied: bool) -> None:
    torch.manual_seed(0)
    ours = Model(tied=tied)
    theirs = copy.deepcopy(ours)
    optimizers = [torch.optim.AdamW(model.parameters(), lr=0.1) for model in (ours, theirs)]
    words = WordGradients(ours)
    assert len(words.tables) == (not tied)
    for _ in range(5):
        for _ in range(2):  # gradients of several batches add up
            ids = torch.randint(50, (3, 4))
            with words.kept():
                torch.autograd.backward(ours(ids))
            torch.autograd.backward(theirs(ids))
        assert torch.allclose(ours.words.weight.grad, theirs.words.weight.grad, atol=1e-7)
        for model, optimizer in zip((ours, theirs), optimizers, strict=True):
            nn.utils.clip_grad_norm_(model.parameters(), 0.01)
            optimizer.step()
            optimizer.zero_grad()
    assert torch.allclose(ours.words.weight, theirs.words.weight, atol=1e-5)
    assert torch.allclose(ours.out.weight, theirs.out.weight, atol=1e-5)


def test_the_model_is_as_before_after_a_step() -> None:
    model = Model()
    words = WordGradients(model)
    with words.kept():
        pass
    assert "forward" not in vars(model.words)
    copy.deepcopy(model)


def test_a_frozen_table_gets_no_gradient() -> None:
    model = Model()
    model.words.weight.requires_grad_(False)
    with WordGradients(model).kept():
        torch.autograd.backward(model(torch.tensor([[1, 2]])))
    assert model.words.weight.grad is None
    assert model.out.weight.grad is not None
