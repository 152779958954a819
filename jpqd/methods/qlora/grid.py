"""The grid that an NNCF quantizer rounds a weight to, and an adapter that learns on it."""

from __future__ import annotations

import math
from typing import Any

import torch
from nncf.torch.quantization.layers import AsymmetricQuantizer, BaseQuantizer
from nncf.torch.quantization.quantize_functions import TuneRange
from torch import Tensor, nn
from torch._C import DisableTorchFunction

from jpqd.model.rounded import Rounded


@torch.no_grad()
def of(quantizer: BaseQuantizer, weight: Tensor) -> Rounded:
    """Return the grid, whose scales are those that an IR holds."""
    shape = list(quantizer._lspec.weight_shape if hasattr(quantizer, "_lspec") else weight.shape)
    if isinstance(quantizer, AsymmetricQuantizer):
        span = quantizer.input_range.abs() + quantizer.eps
        low, span = TuneRange.apply(quantizer.input_low, span, quantizer.levels)
        scale = (span / (quantizer.levels - 1)).half()
        zero = quantizer.level_low - (low / scale.float()).round()
    else:
        scale = (quantizer.scale / abs(quantizer.level_low)).half()
        zero = torch.zeros_like(quantizer.scale)
    found = Rounded(quantizer.num_bits, quantizer.level_low, shape, list(scale.shape))
    found.scale.copy_(scale)
    found.zero.copy_(zero.clamp(quantizer.level_low, quantizer.level_high))
    return found


class Adapted(nn.Module):
    """Rounds a weight together with what an adapter adds. NNCF's own compiles C++ for that."""

    calls_no_functions = True

    def __init__(self, grid: Rounded, weight: Tensor, rank: int) -> None:
        super().__init__()
        rows, columns = weight.shape
        self.grid = grid
        self.down = nn.Parameter(torch.empty(rank, columns))
        self.up = nn.Parameter(torch.zeros(rows, rank))
        nn.init.kaiming_uniform_(self.down, a=math.sqrt(5))

    def forward(self, weight: Tensor) -> Tensor:
        with DisableTorchFunction(), torch.autocast(weight.device.type, enabled=False):
            out: Tensor = _Rounding.apply(weight + self.up @ self.down, self.grid)  # type: ignore[no-untyped-call]
            return out


class _Rounding(torch.autograd.Function):
    """Rounds to a grid; the gradient passes where the grid reaches."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, grid: Rounded) -> Tensor:
        exact = grid.places(weight)
        numbers = exact.round().clamp_(*grid.bounds)
        ctx.save_for_backward((exact - numbers).abs_() <= 0.5)
        return grid.weights(numbers, weight)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        (inside,) = ctx.saved_tensors
        return grads[0] * inside.view_as(grads[0]), None
