"""A pass that leaves work out against NNCF's own: the same hooks on the same operations."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from nncf.torch.function_hook import get_hook_storage
from nncf.torch.function_hook.hook_executor_mode import FunctionHookMode
from torch import Tensor

from jpqd.model import hooked
from tests.helpers import small


@pytest.mark.parametrize("family", small.FAMILIES)
def test_a_model_says_and_learns_what_it_does_under_nncf(
    family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While gates are on weights, and once the model is cut."""
    model = small.model(family)
    pruning = small.pruning(model, 0.5)
    small.quantize(model, smooth_quant=0.5)
    assert isinstance(model.forward, hooked.Forward)
    assert_same(model, monkeypatch)
    pruning.step(0.0)
    pruning.step(1.0)
    assert_same(model, monkeypatch)


def assert_same(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = seen(model)
    with monkeypatch.context() as patch:
        patch.setattr(hooked, "Mode", FunctionHookMode)
        theirs = seen(model)
    assert ours[0] == theirs[0]
    assert len(ours[0]) >= len(list(get_hook_storage(model).named_hooks()))
    torch.testing.assert_close(ours[1], theirs[1], rtol=0, atol=0)


def seen(model: Any) -> tuple[list[str], list[Tensor | None]]:
    """The hooks in the order of their calls; the loss and all gradients."""
    called: list[str] = []
    handles = [
        hook.register_forward_pre_hook(lambda *_, name=name: called.append(name))
        for name, hook in get_hook_storage(model).named_hooks()
    ]
    model.zero_grad(set_to_none=True)
    loss = model(**small.batch(), labels=small.LABELS).loss
    loss.backward()
    for handle in handles:
        handle.remove()
    assert not any("_call_impl" in vars(module) for module in model.modules())
    return called, [loss, *(weight.grad for weight in model.parameters())]
