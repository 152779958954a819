"""Values put on the levels of 8 bits, and the gradients of that.

A tensor is taken in pieces that fit into a processor's cache: each of the dozen steps would read
and write all of it from memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

Bounds = tuple[int, int]

_PIECE = 2**16
"""The numbers of a piece: three of them in f32 are less than a megabyte."""


class Signed(torch.autograd.Function):
    """`step * clamp(round(x / step))`, a step for each row or one for all, with its gradient.

    The step is `(|scale| + eps) / top`. Backward computes the levels again: a pass costs less than
    memory that lives that long.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, scale: Tensor, eps: float, top: int, bounds: Bounds) -> Tensor:
        step = scale.abs().add_(eps).div_(top)
        ctx.save_for_backward(x, scale, step)
        ctx.top, ctx.bounds = top, bounds
        out = _like(x, _compute_dtype(x))
        for (given, made), (own,), (level,) in _pieces([x, out], [step], buffers=1):
            level.copy_(given).mul_(own.reciprocal())
            made.copy_(level.round_().clamp_(*bounds).mul_(own))
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        x, scale, step = ctx.saved_tensors
        out, sums = _like(x, x.dtype), []
        dot = _dot if step.numel() == 1 else torch.linalg.vecdot
        pieces = _pieces([x, grads[0], out], [step], buffers=3)
        for (given, said, made), (own,), (exact, grad, inside) in pieces:
            exact.copy_(given).mul_(own.reciprocal())
            _inside(grad.copy_(said), exact, ctx.bounds, inside)
            made.copy_(inside)
            # With the step moves the rounding error, or the bound where x is beyond it.
            error = -dot(inside, exact)
            sums.append(error + dot(grad, exact.round_().clamp_(*ctx.bounds)))
        moved = torch.stack(sums).sum() if step.numel() == 1 else torch.cat(sums)
        return out, moved.view_as(scale).div_(ctx.top).mul_(scale.sgn()), None, None, None


class Shifted(torch.autograd.Function):
    """The same with one step and a zero point, for a tensor between `low` and `low + span`."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, low: Tensor, span: Tensor, grid: Grid) -> Tensor:
        ctx.save_for_backward(x)
        ctx.grid = grid
        out = _like(x, _compute_dtype(x))
        for (given, made), _, (level,) in _pieces([x, out], [], buffers=1):
            grid.places(given, level).round_().clamp_(*grid.bounds)
            made.copy_(level.sub_(grid.zero).mul_(grid.step))
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        """`span` is top minus low: inside it moves the rounding error, above the range the top."""
        (x,), grid = ctx.saved_tensors, ctx.grid
        out, sums = _like(x, x.dtype), []
        pieces = _pieces([x, grads[0], out], [], buffers=3)
        for (given, said, made), _, (exact, grad, inside) in pieces:
            _inside(grad.copy_(said), grid.places(given, exact), grid.bounds, inside)
            made.copy_(inside)
            error = -_dot(inside, exact)
            step = error + _dot(grad, exact.round_().clamp_(*grid.bounds))
            sums.append(torch.stack([step, inside.sum(), grad.sum()]))
        step, kept, whole = torch.stack(sums).sum(0)
        step += grid.zero * (kept - whole)
        span = (step + (grid.zero - grid.bounds[0]) * (whole - kept)) / grid.count
        return out, (whole - kept).view(1), span.view(1), None


class Grid:
    """The places of a tensor's levels."""

    def __init__(self, step: float, zero: int, bounds: Bounds) -> None:
        self.step, self.zero, self.bounds = step, zero, bounds
        self.count = bounds[1] - bounds[0]

    def places(self, x: Tensor, out: Tensor) -> Tensor:
        """Write values in levels, not yet rounded."""
        return out.copy_(x).mul_(1 / self.step).add_(self.zero)


Pieces = tuple[list[Tensor], list[Tensor], list[Tensor]]


def _pieces(tensors: list[Tensor], steps: list[Tensor], *, buffers: int) -> Iterator[Pieces]:
    """Give some rows of tensors of one shape, their steps, and room for as many numbers in f32.

    The room is the same each time. An accelerator gets all rows at once.
    """
    width = tensors[0].shape[-1]
    rows = [tensor.reshape(-1, width) for tensor in tensors]
    of_rows = [step.reshape(-1, 1) for step in steps]
    count = len(rows[0])
    each = max(1, _PIECE // max(1, width)) if rows[0].device.type == "cpu" else max(1, count)
    room = [rows[0].new_empty(min(each, count), width, dtype=torch.float32) for _ in range(buffers)]
    for first in range(0, max(1, count), each):
        some = [part[first : first + each] for part in rows]
        own = [step[first : first + each] if len(step) > 1 else step for step in of_rows]
        yield some, own, [place[: len(some[0])] for place in room]


def _like(x: Tensor, dtype: torch.dtype) -> Tensor:
    """Make room for a result, in whose pieces can be written."""
    return torch.empty(x.shape, dtype=dtype, device=x.device)


def _inside(grad: Tensor, exact: Tensor, bounds: Bounds, out: Tensor) -> None:
    """Write the gradient where nothing is clamped: one vectorized pass."""
    low, high = bounds[0] - 0.5, bounds[1] + 0.5
    torch.ops.aten.hardtanh_backward.grad_input(grad, exact, low, high, grad_input=out)


def _dot(left: Tensor, right: Tensor) -> Tensor:
    return torch.dot(left.flatten(), right.flatten())


def _compute_dtype(x: Tensor) -> torch.dtype:
    """Return the type that the matrix product would turn it into anyway: one conversion less."""
    kind = x.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else x.dtype
