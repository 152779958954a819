"""One process or several: which one writes, and how the others wait. torchrun sets them up."""

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
    """Wait until every process is here; do nothing where there is only one."""
    if world_size() > 1:
        _state().wait_for_everyone()


def agree(value: int) -> int:
    """Return the largest value of all processes, so that all of them decide alike."""
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
    """Copy the first process's values to all processes."""
    if world_size() > 1:
        import torch

        torch.distributed.broadcast(values, 0)


def device() -> torch.device:
    """Return the device on which this process computes."""
    device: torch.device = _state().device
    return device


def _state() -> PartialState:
    """Return accelerate's state; without `cpu=True` its barriers do nothing on a CPU."""
    from datetime import timedelta

    import torch
    from accelerate import PartialState

    # Others wait while the first one prepares data, for hours; torchrun ends them if it dies.
    patience = timedelta(hours=12)
    return PartialState(cpu=not torch.accelerator.is_available(), timeout=patience)
