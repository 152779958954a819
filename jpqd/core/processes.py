"""One process or many: who writes, and how the others wait. torchrun sets the variables."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from accelerate import PartialState


def rank() -> int:
    return int(os.environ.get("RANK", "0"))


def world_size() -> int:
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_main() -> bool:
    return rank() == 0


def barrier() -> None:
    """Wait until every process is here; nothing to do for a single one."""
    if world_size() > 1:
        _state().wait_for_everyone()


def agree(value: int) -> int:
    """The largest value that any process holds, so that all of them decide alike."""
    if world_size() == 1:
        return value
    import torch

    largest = torch.tensor([value], device=device())
    torch.distributed.all_reduce(largest, torch.distributed.ReduceOp.MAX)
    return int(largest.item())


def mean(value: torch.Tensor) -> float:
    """The mean of what the processes hold."""
    if world_size() == 1:
        return value.item()
    import torch

    total = value.clone()
    torch.distributed.all_reduce(total)
    return total.item() / world_size()


def share(values: torch.Tensor) -> None:
    """What the first process holds becomes what all hold."""
    if world_size() > 1:
        import torch

        torch.distributed.broadcast(values, 0)


def device() -> torch.device:
    """Where this process computes."""
    found: torch.device = _state().device
    return found


def _state() -> PartialState:
    """accelerate must be told that there is no accelerator, or its barriers do nothing."""
    import torch
    from accelerate import PartialState

    return PartialState(cpu=not torch.accelerator.is_available())
