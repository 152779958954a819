"""Parts of a model that stay in floating point: their operations, as NNCF names them.

NNCF numbers the calls of an operation and leaves out the number of a layer, so the names come from
a pass that notes what is computed inside of which module.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import nncf
import torch
from nncf.torch.function_hook import get_hook_storage
from nncf.torch.function_hook.hook_executor_mode import FunctionHookMode
from nncf.torch.function_hook.hook_storage import HookStorage
from nncf.torch.function_hook.wrapper import ForwardWithHooks, is_wrapped
from torch import Tensor
from transformers import PreTrainedModel

from jpqd.core.errors import UserError


def scope(
    model: PreTrainedModel, parts: tuple[str, ...], batch: dict[str, Tensor]
) -> nncf.IgnoredScope | None:
    """Select modules by the end or a part of their name: `pooler`, `encoder.layer.0`."""
    if not parts:
        return None
    inside = _operations(model, batch)
    names = {name for part in parts for name in _named(model, part, inside)}
    return nncf.IgnoredScope(names=sorted(names), validate=False)


def _named(model: PreTrainedModel, part: str, inside: dict[int, set[str]]) -> set[str]:
    modules = {name: module for name, module in model.named_modules() if name}
    meant = [module for name, module in modules.items() if f".{part}." in f".{name}."]
    if not meant:
        raise UserError(
            f"quantize: ignore {part!r} is not part of any module's name. "
            f"A module's name is, for example, {list(modules)[-1]}."
        )
    return {name for module in meant for name in inside[id(module)]}


def _operations(model: PreTrainedModel, batch: dict[str, Tensor]) -> dict[int, set[str]]:
    """Run a batch, and return the names of the operations inside of each module, by its id."""
    wrapped: Any = model.forward
    forward = wrapped.orig_forward if isinstance(wrapped, ForwardWithHooks) else wrapped
    storage = get_hook_storage(model) if is_wrapped(model) else HookStorage()
    noting = _Noting(model, storage)
    with torch.no_grad(), noting:
        forward(**batch)
    return noting.inside


class _Noting(FunctionHookMode):  # type: ignore[misc]
    def __init__(self, model: PreTrainedModel, storage: HookStorage) -> None:
        super().__init__(model, storage)
        self.inside: dict[int, set[str]] = defaultdict(set)

    def get_next_op_call_name(self, fn_name: str) -> str:
        name: str = super().get_next_op_call_name(fn_name)
        for module in self.module_call_stack:
            self.inside[id(module)].add(name)
        return name
