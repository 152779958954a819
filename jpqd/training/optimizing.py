"""The optimizer of a training stage: which weights decay, and how the learning rate moves."""

from __future__ import annotations

import re
from collections.abc import Iterator

from torch import nn
from torch.optim import AdamW
from torch.optim.lr_scheduler import LRScheduler
from transformers import get_scheduler

from jpqd.model import shrink
from jpqd.training.options import TrainOptions
from jpqd.training.steps import Steps

_SPARED = re.compile(
    r"bias|layernorm|rmsnorm|(^|\.)norm(\.|$)|_norm(\.|$)|ia3_l|magnitude", re.IGNORECASE
)
"""Names of biases, norms and what adapters multiply with."""


def build(stage: TrainOptions, model: nn.Module, steps: Steps) -> tuple[AdamW, LRScheduler]:
    """Make the optimizer, with the weights that decay first, and the schedule of its rate."""
    decaying = set(_decaying(model))
    named = [(name, one) for name, one in model.named_parameters() if one.requires_grad]
    pulled = [one for name, one in named if name in decaying]
    spared = [one for name, one in named if name not in decaying]
    optimizer = AdamW(
        [  # checkpoints number the parameters in this order
            {"params": pulled, "weight_decay": stage.weight_decay},
            {"params": spared, "weight_decay": 0.0},
        ],
        lr=stage.learning_rate,
        fused=True,  # the other implementations round differently
    )
    schedule = "constant_with_warmup" if stage.schedule == "constant" else stage.schedule
    return optimizer, get_scheduler(schedule, optimizer, steps.warmup, steps.total)


def _decaying(model: nn.Module) -> Iterator[str]:
    """Name what decays: neither norms nor biases, nor a quantizer, whose range it would narrow."""
    for path, module in model.named_modules():
        if isinstance(module, nn.LayerNorm):
            continue
        for own, _ in module.named_parameters(recurse=False):
            name = f"{path}.{own}" if path else own
            if shrink.HOOKS not in name and not _SPARED.search(name):
                yield name
