"""The random state of this process: what dropout, numpy and Python draw next."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import torch

from jpqd.core import processes


def save(folder: Path) -> None:
    kind, keys, *place = np.random.get_state()
    state: dict[str, Any] = {
        "python": random.getstate(),
        "numpy": (kind, torch.from_numpy(keys), *place),
        "cpu": torch.get_rng_state(),
    }
    if torch.accelerator.is_available():
        state["device"] = torch.get_device_module().get_rng_state()
    torch.save(state, _path(folder))


def load(folder: Path) -> None:
    """Go on from the state that was saved; a process that was not there then has none."""
    if not _path(folder).exists():
        return
    state = torch.load(_path(folder), weights_only=True)
    random.setstate(state["python"])
    kind, keys, *place = state["numpy"]
    np.random.set_state((kind, keys.numpy(), *place))
    torch.set_rng_state(state["cpu"])
    if "device" in state:
        torch.get_device_module().set_rng_state(state["device"])


def _path(folder: Path) -> Path:
    return folder / f"random-{processes.rank()}.pt"
