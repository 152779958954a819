"""A model's forward pass through NNCF's hooks, without its work where no hook is.

NNCF names every operation of a pass, looks for hooks under that name, and reads all names of the
model before. With a small model this costs more than some of its layers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from types import MethodType
from typing import Any

from nncf.torch.function_hook import get_hook_storage
from nncf.torch.function_hook.handle_inner_functions import get_handle_inner_function
from nncf.torch.function_hook.hook_executor_mode import FunctionHookMode
from nncf.torch.function_hook.hook_storage import HookStorage
from nncf.torch.function_hook.wrapper import ForwardWithHooks
from nncf.torch.utils import is_tracing_state
from torch import nn
from torch.overrides import TorchFunctionMode
from transformers import PreTrainedModel

from jpqd.model.shrink import HOOKS


def quicken(model: PreTrainedModel) -> None:
    """A model that NNCF has wrapped. What shares a weight between modules is left to NNCF."""
    uses = Counter(weight for module in _own(model) for weight in module._parameters.values())
    is_shared = any(count > 1 for weight, count in uses.items() if weight is not None)
    wrapped: Any = model.forward
    if not is_shared and type(wrapped) is ForwardWithHooks:
        del model.forward
        model.forward = Forward(model, wrapped.orig_forward)


class Forward(ForwardWithHooks):  # type: ignore[misc]
    """A replacement of NNCF's own forward, which does the same."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        storage = get_hook_storage(self.model)
        if is_tracing_state() or storage.is_empty():
            return super().__call__(*args, **kwargs)
        with Mode(self.model, storage) as mode:
            args, kwargs = mode.process_model_inputs(args, kwargs)
            return mode.process_model_outputs(self.orig_forward(*args, **kwargs))


class Mode(FunctionHookMode):  # type: ignore[misc]
    """The mode of one pass, so that nothing has to follow when modules or hooks are exchanged."""

    def __init__(self, model: nn.Module, storage: HookStorage) -> None:
        super().__init__(nn.Module(), storage)  # reads no names
        self.model = model
        self.called = [*_own(model), *_visible(storage)]
        self.names: dict[tuple[int, int], str] = {}
        for module in self.called:
            for name, child in module._modules.items():
                self.names.setdefault((id(module), id(child)), name)
        self._sort(storage)

    def _sort(self, storage: HookStorage) -> None:
        """Hooks are on functions, on weights, or on what enters and leaves the model."""
        self.before, self.after = (
            {key.rsplit("__", 1)[0].replace(":", ".") for key in kind}
            for kind in (storage.pre_hooks, storage.post_hooks)
        )
        keys = self.before | self.after
        self.functions = {key.split("/")[-2] for key in keys if "/" in key}
        others = [key for key in keys if "/" not in key]
        self.const_name_map = {
            id(getattr(self.model.get_submodule(path), name)): key
            for key in others
            for path, dot, name in [key.rpartition(".")]
            if dot
        }
        self.has_ends = len(self.const_name_map) < len(others)

    def __enter__(self) -> Mode:
        TorchFunctionMode.__enter__(self)  # type: ignore[no-untyped-call]
        if self.nested_enter_count == 0:
            for module in self.called:
                call = MethodType(self._get_wrapped_call(module._call_impl), module)
                vars(module)["_call_impl"] = call
            self.push_module_call_stack(self.model)
        self.nested_enter_count += 1
        return self

    def __exit__(self, *error: Any) -> None:
        self.nested_enter_count -= 1
        if self.nested_enter_count == 0:
            for module in self.called:
                del vars(module)["_call_impl"]
            self.pop_module_call_stack()
        TorchFunctionMode.__exit__(self, *error)  # type: ignore[no-untyped-call]

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: list[type[Any]],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """A name counts the calls of its own function: those of others may go uncounted."""
        if self._may_have_hooks(func, args):
            return super().__torch_function__(func, types, args, kwargs)
        return func(*args, **(kwargs or {}))

    def _may_have_hooks(self, func: Callable[..., Any], args: tuple[Any, ...]) -> bool:
        if func.__name__ in self.functions or get_handle_inner_function(func) is not None:
            return True
        return bool(self.const_name_map) and any(id(value) in self.const_name_map for value in args)

    def execute_pre_hooks(self, args: Any, kwargs: Any, op_meta: Any) -> Any:
        if self.const_name_map or op_meta.op_name in self.before:
            return super().execute_pre_hooks(args, kwargs, op_meta)
        return args, kwargs

    def execute_post_hooks(self, output: Any, op_meta: Any) -> Any:
        if op_meta.op_name in self.after:
            return super().execute_post_hooks(output, op_meta)
        return output

    def get_current_relative_name(self) -> str:
        names, stack = [], self.module_call_stack
        for parent, module in pairwise(stack):
            name = self.hooks_module_to_group_name.get(id(module))
            name = name or self.names.get((id(parent), id(module)))
            if name is not None:
                names.append(name)
        return "/".join(names)

    def process_model_inputs(self, args: Any, kwargs: Any) -> Any:
        return super().process_model_inputs(args, kwargs) if self.has_ends else (args, kwargs)


def _own(model: nn.Module) -> list[nn.Module]:
    """The modules of a model, each once, without its hooks."""
    found: dict[nn.Module, None] = {}
    left = [model]
    while left:
        module = left.pop()
        if module not in found:
            found[module] = None
            parts = module._modules.items()
            left += [part for name, part in parts if part is not None and name != HOOKS]
    return list(found)


def _visible(storage: HookStorage) -> list[nn.Module]:
    """The hooks whose own operations may have hooks."""
    kinds = (storage.pre_hooks, storage.post_hooks)
    hooks = [hook for kind in kinds for group in kind.values() for hook in group.values()]
    seen = [hook for hook in hooks if not getattr(hook, "calls_no_functions", False)]
    return [module for hook in dict.fromkeys(seen) for module in hook.modules()]
