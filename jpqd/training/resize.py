"""Keeps an optimizer in step with a model that becomes smaller while it trains."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import nn

if TYPE_CHECKING:
    from jpqd.training.method import Slices


def optimizer(held: Any, slices: Slices, model: nn.Module) -> None:
    """Moments are sliced as their parameters were; those of parameters that are gone go too."""
    alive = set(model.parameters())
    for group in held.param_groups:
        group["params"] = [parameter for parameter in group["params"] if parameter in alive]
    for parameter in [parameter for parameter in held.state if parameter not in alive]:
        del held.state[parameter]
    for parameter, sliced in slices.items():
        if sliced is None:
            held.state.pop(parameter, None)
            continue
        for name, moment in held.state.get(parameter, {}).items():
            if moment.dim():  # not the count of steps
                held.state[parameter][name] = sliced(moment)


def order(held: Any, model: nn.Module) -> list[str]:
    """The names of the parameters as the optimizer numbers them."""
    names = {parameter: name for name, parameter in model.named_parameters()}
    return [names[parameter] for group in held.param_groups for parameter in group["params"]]


def load_optimizer(held: Any, state: dict[str, Any], names: list[str], model: nn.Module) -> None:
    """A model that is built in its final shape may number its parameters in another order."""
    by_name = {name: state["state"][number] for number, name in enumerate(names)
               if number in state["state"]}  # fmt: skip
    own = order(held, model)
    settings = [
        {k: v for k, v in group.items() if k != "params"} for group in state["param_groups"]
    ]
    current = held.state_dict()["param_groups"]
    held.load_state_dict(
        {
            "state": {number: by_name[n] for number, n in enumerate(own) if n in by_name},
            "param_groups": [
                {**new, "params": group["params"]}
                for new, group in zip(settings, current, strict=True)
            ],
        }
    )
