"""Projections that a family keeps in one matrix, each by itself, so that each can be cut.

On disk they stay one matrix, under the name that transformers gives it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from jpqd.model import families, shrink


def separate(model: PreTrainedModel) -> None:
    """Replace the joined projections of a model that is described, and make all of them Linear."""
    if not families.knows(model):
        return
    for layer in families.layers(model):
        for path, names in families.of(model).joined:
            whole = families.part(layer, path)
            if isinstance(whole, nn.Linear | Conv1D):
                layer.set_submodule(path, Apart(whole, names))
        for path, part in list(layer.named_modules()):
            if isinstance(part, Conv1D):
                layer.set_submodule(path, _linear(Turned, part.weight.T, part.bias))


@contextmanager
def together(model: PreTrainedModel) -> Iterator[None]:
    """Join what was taken apart, while a model is exported: one product is faster than three.

    Quantizers read the parts by themselves, so a quantized model stays as it is.
    """
    joined = [] if hasattr(model, shrink.HOOKS) else list(model.named_modules())
    before = {path: part for path, part in joined if isinstance(part, Apart)}
    for path, part in before.items():
        model.set_submodule(path, part.whole())
    try:
        yield
    finally:
        for path, part in before.items():
            model.set_submodule(path, part)


def _linear(kind: type[nn.Linear], weight: Tensor, bias: Tensor | None) -> nn.Linear:
    rows, columns = weight.shape
    with torch.device("meta"):
        made = kind(columns, rows, bias=bias is not None)
    made.weight = nn.Parameter(weight.detach().clone().contiguous())
    if bias is not None:
        made.bias = nn.Parameter(bias.detach().clone())
    return made


class Turned(nn.Linear):
    """A projection that transformers keeps with its weights turned, as GPT-2's are."""

    def _save_to_state_dict(self, state: dict[str, Any], prefix: str, keep: bool) -> None:
        super()._save_to_state_dict(state, prefix, keep)
        state[f"{prefix}weight"] = state[f"{prefix}weight"].T

    def _load_from_state_dict(self, state: dict[str, Any], prefix: str, *rest: Any) -> None:
        if (name := f"{prefix}weight") in state:
            state[name] = state[name].T
        super()._load_from_state_dict(state, prefix, *rest)


class Apart(nn.Module):
    """Several projections of the same input, whose outputs stand side by side."""

    def __init__(self, whole: nn.Linear | Conv1D, names: tuple[str, ...]) -> None:
        super().__init__()
        self.turned = isinstance(whole, Conv1D)
        weights = (whole.weight.T if self.turned else whole.weight).chunk(len(names))
        biases = [None] * len(names) if whole.bias is None else whole.bias.chunk(len(names))
        for name, weight, bias in zip(names, weights, biases, strict=True):
            self.add_module(name, _linear(nn.Linear, weight, bias))

    def whole(self) -> nn.Linear:
        """Make one projection of all."""
        parts: list[Any] = list(self.children())
        bias = torch.cat([part.bias for part in parts]) if "bias" in self._kinds() else None
        return _linear(nn.Linear, torch.cat([part.weight for part in parts]), bias)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([part(x) for part in self.children()], -1)

    def state_dict(self, *args: Any, **kwargs: Any) -> Any:
        """Show one matrix, as transformers has it, but for parts that stand beside an adapter."""
        found: dict[str, Any] = super().state_dict(*args, **kwargs)
        if not self._is_plain():
            return found
        prefix = kwargs.get("prefix", "")
        for kind in self._kinds():
            names = [f"{prefix}{name}.{kind}" for name, _ in self.named_children()]
            whole = torch.cat([found.pop(name) for name in names])
            found[prefix + kind] = whole.T if self.turned and kind == "weight" else whole
        return found

    def _load_from_state_dict(self, state: dict[str, Any], prefix: str, *rest: Any) -> None:
        """Read one matrix: the children, which come next, find their own rows of it."""
        if not self._is_plain():
            super()._load_from_state_dict(state, prefix, *rest)
            return
        errors: list[str] = rest[-1]
        sizes = [int(part.out_features) for part in self.children()]  # type: ignore[arg-type]
        for kind in self._kinds():
            whole = state.pop(prefix + kind, None)
            if whole is not None and self.turned and kind == "weight":
                whole = whole.T
            if whole is not None and len(whole) != sum(sizes):
                errors.append(f"size mismatch for {prefix}{kind}: {len(whole)} rows")
            elif whole is not None:
                for (name, _), rows in zip(self.named_children(), whole.split(sizes), strict=True):
                    state[f"{prefix}{name}.{kind}"] = rows
        super()._load_from_state_dict(state, prefix, *rest)

    def _is_plain(self) -> bool:
        return all(isinstance(part, nn.Linear) for part in self.children())

    def _kinds(self) -> list[str]:
        first = next(self.children())
        return ["weight", "bias"] if first.bias is not None else ["weight"]
