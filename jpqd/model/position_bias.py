"""Lets a layer that lost heads read its own rows of a position bias that all layers share."""

from inspect import signature
from typing import Any

import torch
from torch import Tensor, nn

_ROWS, _PLACE = "position_rows", "position_argument"


def follow(attention: nn.Module, argument: str, heads: tuple[int, ...]) -> None:
    """Read these rows from now on: the layer's heads, as the model before any cut counts them."""
    if not hasattr(attention, _ROWS):
        place = list(signature(attention.forward).parameters).index(argument)
        setattr(attention, _PLACE, (place, argument))
        attention.register_forward_pre_hook(_select, with_kwargs=True)
    device = next(attention.parameters()).device
    attention.register_buffer(_ROWS, torch.tensor(heads, device=device), persistent=False)


def _select(attention: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Hand over a part of the bias. A function, because a bound method keeps the layer that it
    was made for when its model is copied."""
    place, name = getattr(attention, _PLACE)
    if place < len(args):
        return (*args[:place], _own(attention, args[place]), *args[place + 1 :]), kwargs
    return args, {**kwargs, name: _own(attention, kwargs.get(name))}


def _own(attention: nn.Module, bias: Tensor | None) -> Tensor | None:
    return None if bias is None else bias.index_select(1, attention.get_buffer(_ROWS))
