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
from jpqd.model.levels import Bounds, Grid, Shifted, Signed


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
