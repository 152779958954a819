"""One process or many: who writes, and how the others wait. torchrun sets the variables."""

import os


def rank() -> int:
    return int(os.environ.get("RANK", "0"))


def world_size() -> int:
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_main() -> bool:
    return rank() == 0


def barrier() -> None:
    """Wait until every process is here; nothing to do for a single one."""
    if world_size() > 1:
        from accelerate import PartialState

        PartialState().wait_for_everyone()


def agree(value: int) -> int:
    """The largest value that any process holds, so that all of them decide alike."""
    if world_size() == 1:
        return value
    import torch
    from accelerate import PartialState

    largest = torch.tensor([value], device=PartialState().device)
    torch.distributed.all_reduce(largest, torch.distributed.ReduceOp.MAX)
    return int(largest.item())
