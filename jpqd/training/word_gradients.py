"""The gradient of a table of words, where a batch reads few of its rows.

PyTorch makes a table of zeros for every step, which takes a share of it that grows as layers get
smaller. Here one table stays, and only the rows are cleared that the last step has read.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from jpqd.core import processes

_LARGE = 4_000_000
"""The numbers in a table; smaller ones are left to PyTorch."""


class WordGradients:
    def __init__(self, network: nn.Module) -> None:
        # With several processes, their exchange of gradients must see PyTorch's own.
        alone = processes.world_size() == 1
        uses = Counter(
            id(weight) for module in network.modules() for weight in module._parameters.values()
        )
        self.tables = [
            _Table(module)
            for module in network.modules()
            if alone
            and type(module) is nn.Embedding  # another one does more than look up
            and module.weight.numel() >= _LARGE
            and uses[id(module.weight)] == 1  # else other gradients would come into the table
        ]

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Inside, backward passes add to the tables that stay."""
        for table in self.tables:
            table.begin()
        try:
            yield
        finally:
            for table in self.tables:
                del table.module.forward


class _Table:
    def __init__(self, module: nn.Embedding) -> None:
        self.module = module
        self.gradient: Tensor | None = None
        self.read: list[Tensor] = []

    def begin(self) -> None:
        self.module.forward = partial(_looked_up, self)  # type: ignore[method-assign]

    def add(self, ids: Tensor, gradient: Tensor) -> None:
        weight = self.module.weight
        if weight.grad is None:
            weight.grad = self._cleared()
        ids, gradient = ids.flatten(), gradient.flatten(0, -2).to(weight.dtype)
        if (padding := self.module.padding_idx) is not None:
            gradient = gradient * (ids != padding)[:, None]
        weight.grad.index_add_(0, ids, gradient)
        self.read.append(ids)

    def _cleared(self) -> Tensor:
        weight = self.module.weight
        if self.gradient is None or self.gradient.shape != weight.shape:
            self.gradient = torch.zeros_like(weight)
        for ids in self.read:
            self.gradient[ids] = 0
        self.read = []
        return self.gradient


def _looked_up(table: _Table, ids: Tensor) -> Tensor:
    weight = table.module.weight
    if not (torch.is_grad_enabled() and weight.requires_grad):
        return nn.functional.embedding(ids, weight)
    found: Tensor = _Rows.apply(ids, weight, table)  # type: ignore[no-untyped-call]
    return found


class _Rows(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, ids: Tensor, weight: Tensor, table: _Table) -> Tensor:
        ctx.save_for_backward(ids)
        ctx.table = table
        return nn.functional.embedding(ids, weight)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, None, None]:
        ctx.table.add(*ctx.saved_tensors, gradient)
        return None, None, None
