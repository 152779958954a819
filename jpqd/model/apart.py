"""Projections that a family keeps in one matrix, each by itself, so that each can be cut.

On disk they stay one matrix, under the name that transformers gives it.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from jpqd.model import families


def separate(model: PreTrainedModel) -> None:
    """Replace the joined projections of a model that is described."""
    if not families.knows(model):
        return
    for layer in families.layers(model):
        for path, names in families.of(model).joined:
            whole = families.part(layer, path)
            if isinstance(whole, nn.Linear):
                layer.set_submodule(path, Apart(whole, names))


class Apart(nn.Module):
    """Several projections of the same input, whose outputs stand side by side."""

    def __init__(self, whole: nn.Linear, names: tuple[str, ...]) -> None:
        super().__init__()
        weights = whole.weight.detach().chunk(len(names))
        biases = (
            [None] * len(names) if whole.bias is None else whole.bias.detach().chunk(len(names))
        )
        for name, weight, bias in zip(names, weights, biases, strict=True):
            part = nn.Linear(1, 1, bias=bias is not None, device="meta")
            part.out_features, part.in_features = weight.shape
            part.weight = nn.Parameter(weight.clone())
            if bias is not None:
                part.bias = nn.Parameter(bias.clone())
            self.add_module(name, part)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([part(x) for part in self.children()], -1)

    def state_dict(self, *args: Any, **kwargs: Any) -> Any:
        """Show one matrix, as transformers has it."""
        found: dict[str, Any] = super().state_dict(*args, **kwargs)
        prefix = kwargs.get("prefix", "")
        for kind in self._kinds():
            names = [f"{prefix}{name}.{kind}" for name, _ in self.named_children()]
            found[prefix + kind] = torch.cat([found.pop(name) for name in names])
        return found

    def _load_from_state_dict(self, state: dict[str, Any], prefix: str, *rest: Any) -> None:
        """Read one matrix: the children, which come next, find their own rows of it."""
        sizes = [int(part.out_features) for part in self.children()]  # type: ignore[arg-type]
        for kind in self._kinds():
            whole = state.pop(prefix + kind, None)
            if whole is not None and len(whole) == sum(sizes):
                for (name, _), rows in zip(self.named_children(), whole.split(sizes), strict=True):
                    state[f"{prefix}{name}.{kind}"] = rows
        super()._load_from_state_dict(state, prefix, *rest)

    def _kinds(self) -> list[str]:
        first = next(self.children())
        return ["weight", "bias"] if first.bias is not None else ["weight"]
