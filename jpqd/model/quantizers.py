"""NNCF's fake-quantizers, fast enough to train with and with the levels that an INT8 IR has.

NNCF's own pass over a tensor many more times, and under autocast they compute in bf16, whose 8 bits
of mantissa cannot tell 256 levels apart. These compute in f32, with the same parameters, so that
NNCF saves, loads and exports them as its own.
"""

from __future__ import annotations

import weakref
from collections import defaultdict
from typing import Any

import torch
from nncf.torch.function_hook import get_hook_storage
from nncf.torch.function_hook.hook_storage import decode_hook_name
from nncf.torch.quantization.layers import AsymmetricQuantizer, SymmetricQuantizer
from nncf.torch.utils import is_tracing_state
from torch import Tensor, nn
from torch._C import DisableTorchFunction
from transformers import PreTrainedModel

from jpqd.model import hooked

Bounds = tuple[int, int]


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
        level = (x.float() * step.reciprocal()).round_().clamp_(*bounds)
        return level.mul_(step).to(_compute_dtype(x))

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        x, scale, step = ctx.saved_tensors
        grad, exact = grads[0].float(), x.float() * step.reciprocal()
        inside = _inside(grad, exact, ctx.bounds)
        dot = _dot if step.numel() == 1 else torch.linalg.vecdot
        # With the step moves the rounding error, or the bound where x is beyond it.
        moved = -dot(inside, exact) + dot(grad, exact.round_().clamp_(*ctx.bounds))
        moved = moved.view_as(scale).div_(ctx.top).mul_(scale.sgn())
        return inside.to(x.dtype), moved, None, None, None


class Shifted(torch.autograd.Function):
    """The same with one step and a zero point, for a tensor between `low` and `low + span`."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, low: Tensor, span: Tensor, grid: Grid) -> Tensor:
        ctx.save_for_backward(x)
        ctx.grid = grid
        level = grid.places(x).round_().clamp_(*grid.bounds)
        return level.sub_(grid.zero).mul_(grid.step).to(_compute_dtype(x))

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        """`span` is top minus low: inside it moves the rounding error, above the range the top."""
        (x,), grid, grad = ctx.saved_tensors, ctx.grid, grads[0].float()
        exact = grid.places(x)
        inside = _inside(grad, exact, grid.bounds)
        kept, whole = inside.sum(), grad.sum()
        step = -_dot(inside, exact) + _dot(grad, exact.round_().clamp_(*grid.bounds))
        step += grid.zero * (kept - whole)
        span = (step + (grid.zero - grid.bounds[0]) * (whole - kept)) / grid.count
        return inside.to(x.dtype), (whole - kept).view(1), span.view(1), None


class Grid:
    """The places of a tensor's levels."""

    def __init__(self, step: float, zero: int, bounds: Bounds) -> None:
        self.step, self.zero, self.bounds = step, zero, bounds
        self.count = bounds[1] - bounds[0]

    def places(self, x: Tensor) -> Tensor:
        """Return values in levels, not yet rounded."""
        return (x.float() * (1 / self.step)).add_(self.zero)


def _inside(grad: Tensor, exact: Tensor, bounds: Bounds) -> Tensor:
    """The gradient where nothing is clamped: one vectorized pass."""
    return torch.ops.aten.hardtanh_backward(grad, exact, bounds[0] - 0.5, bounds[1] + 0.5)  # type: ignore[no-any-return]


def _dot(left: Tensor, right: Tensor) -> Tensor:
    return torch.dot(left.flatten(), right.flatten())


def _compute_dtype(x: Tensor) -> torch.dtype:
    """Return the type that the matrix product would turn it into anyway: one conversion less."""
    kind = x.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else x.dtype


class Symmetric(SymmetricQuantizer):  # type: ignore[misc]
    """A quantizer around zero: of a weight, with a step for each row, or of a product's input."""

    calls_no_functions = True

    def forward(self, x: Tensor) -> Tensor:
        if is_tracing_state():
            return super().forward(x)  # type: ignore[no-any-return]
        with DisableTorchFunction():
            return self.fake(x, self._scale_param_storage)

    def fake(self, x: Tensor, scale: Tensor) -> Tensor:
        top, bounds = self.levels_used()
        out: Tensor = Signed.apply(x, scale, self.eps, top, bounds)  # type: ignore[no-untyped-call]
        return out

    def set_levels(self) -> None:
        super().set_levels()
        self.known: tuple[int, Bounds] | None = None

    def levels_used(self) -> tuple[int, Bounds]:
        """The level that the scale stands for, and all levels as the export writes them."""
        if self.known is None:
            low, high = self.level_low, self.level_high
            widened = self.narrow_range and not self.is_half_range
            self.known = high, (low - widened, high)
        return self.known


class Embedding(Symmetric):
    """A quantizer of an embedding: of the rows that are looked up, not of the vocabulary."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) if is_tracing_state() else x

    def looked_up(self, module: nn.Embedding, given: tuple[Tensor], rows: Tensor) -> Tensor:
        """A forward hook of the embedding."""
        if is_tracing_state():
            return rows
        with DisableTorchFunction():
            scale = nn.functional.embedding(given[0], self._scale_param_storage)
            return self.fake(rows, scale)


class Asymmetric(AsymmetricQuantizer):  # type: ignore[misc]
    """A quantizer of a product's input. Several readers of one tensor share the work."""

    calls_no_functions = True

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.readers = 1
        self.reads = 0
        self.last: tuple[weakref.ref[Tensor], Tensor] | None = None

    def forward(self, x: Tensor) -> Tensor:
        if is_tracing_state():
            return super().forward(x)  # type: ignore[no-any-return]
        if self.last and self.last[0]() is x:
            out = self.last[1]
            self.reads += 1
        else:
            out, self.reads = self.fake(x), 1
            self.last = (weakref.ref(x), out)
        if self.reads == self.readers:
            self.last = None
        return out

    def fake(self, x: Tensor) -> Tensor:
        with DisableTorchFunction():
            span = self._input_range_param_storage
            grid = self.grid(self.input_low.item(), abs(span.item()) + self.eps)
            out: Tensor = Shifted.apply(x, self.input_low, span, grid)  # type: ignore[no-untyped-call]
            return out

    def grid(self, low: float, span: float) -> Grid:
        """The range grows until zero is one of its levels, as NNCF's export has it."""
        count = self.counted
        high, low = max(low + span, 0.0), min(low, 0.0)
        zero = round(-low * count / (high - low))
        down = zero / (zero - count) * high if zero < count else low
        up = (zero - count) / zero * low if zero > 0 else high
        return Grid(max(high - down, up - low) / count, zero, (0, count))

    def set_levels(self) -> None:
        super().set_levels()
        self.counted: int = self.levels - 1


def connect(model: PreTrainedModel) -> None:
    """Tell the hooks who reads what, which their state does not say: once placed or loaded."""
    hooked.quicken(model)
    storage = get_hook_storage(model)
    readers: dict[Any, int] = defaultdict(int)
    for name, hook in storage.named_hooks(remove_duplicate=False):
        readers[hook] += 1
        if isinstance(hook, Embedding):
            _reader(model, name).register_forward_hook(hook.looked_up)
    for hook, count in readers.items():
        if isinstance(hook, Asymmetric):
            hook.readers = count


def _reader(model: PreTrainedModel, name: str) -> nn.Module:
    """Return the module on whose operation a hook is."""
    path = decode_hook_name(name)[1].split("/")[:-2]
    return model.get_submodule(".".join(path))


def of_rows(model: PreTrainedModel, table: nn.Embedding) -> list[Embedding]:
    """Find the quantizers of an embedding, which have a scale for each of its rows."""
    return [
        hook
        for name, hook in get_hook_storage(model).named_hooks()
        if isinstance(hook, Embedding) and _reader(model, name) is table
    ]


@torch.no_grad()
def settle(model: PreTrainedModel, batch: dict[str, Tensor]) -> None:
    """Put every weight on its level, which changes no prediction; the batch shows who reads what.

    Training leaves many weights where rounding turns over, and the same numbers summed in another
    order, as an IR does, would give them the level beside it.
    """
    found: dict[Any, Symmetric] = {}

    def note(hook: Symmetric, given: tuple[Tensor]) -> None:
        if isinstance(given[0], nn.Parameter):
            found[given[0]] = hook

    hooks = [hook for hook in model.modules() if isinstance(hook, Symmetric)]
    handles = [hook.register_forward_pre_hook(note) for hook in hooks]
    model(**batch)
    for handle in handles:
        handle.remove()
    for weight, hook in found.items():
        weight.copy_(hook.fake(weight, hook._scale_param_storage))
