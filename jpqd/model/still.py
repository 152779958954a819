"""The place of a sub-layer that lost all its heads or neurons."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


def put(layer: nn.Module, core: str, out: str, *, pair: bool) -> None:
    """Replace a sub-layer by the bias of its output projection: all that is left of it."""
    projection = layer.get_submodule(out)
    bias = BiasOnly(projection.bias)  # type: ignore[arg-type]
    if out.startswith(core + "."):
        layer.set_submodule(core, Still(pair, out.removeprefix(core + "."), bias))
    else:
        layer.set_submodule(core, Still(pair))
        layer.set_submodule(out, bias)


class BiasOnly(nn.Module):
    """A projection of nothing: its bias, or zeros of the width that it is given."""

    def __init__(self, bias: nn.Parameter | None) -> None:
        super().__init__()
        self.bias = bias

    def forward(self, x: Tensor) -> Tensor:
        return torch.zeros_like(x) if self.bias is None else self.bias.expand(*x.shape[:-1], -1)


class Still(nn.Module):
    """Stands where an attention has no heads, or a feed-forward part no neurons."""

    def __init__(self, pair: bool, name: str = "", out: BiasOnly | None = None) -> None:
        super().__init__()
        self.pair, self.name = pair, name
        if out is not None:
            self.add_module(name, out)

    def forward(self, hidden_states: Tensor, *_: Any, **__: Any) -> Any:
        out = getattr(self, self.name)(hidden_states) if self.name else hidden_states
        return (out, None) if self.pair else out
