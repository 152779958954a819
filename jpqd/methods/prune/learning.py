"""Scores of a model that does not train, from gradients on some rows of train."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor
from transformers import PreTrainedModel

from jpqd.data.batching import Batch
from jpqd.methods.prune.gates import LEARNT, Gate
from jpqd.tasks import Kind


def learn(
    model: PreTrainedModel,
    batches: Iterable[tuple[Batch, Tensor]],
    kind: Kind,
    *,
    bf16: bool = False,
) -> None:
    """Let the gates of the model learn their scores; nothing else of it changes."""
    gates = [module for module in model.modules() if isinstance(module, Gate)]
    if not any(gate.kind in LEARNT for gate in gates):  # magnitudes and chance ask no rows
        return
    with still(model), torch.autocast(model.device.type, torch.bfloat16, enabled=bf16):
        for gate in gates:
            gate.training = True
        backward(model, batches, kind)


def backward(model: PreTrainedModel, batches: Iterable[tuple[Batch, Tensor]], kind: Kind) -> None:
    """Send the loss of each batch back to whatever learns from it."""
    for features, labels in batches:
        answers = kind.answers(model(**features).logits.float(), labels)
        torch.autograd.backward(kind.loss(answers, kind.targets(labels)))


@contextmanager
def still(model: PreTrainedModel) -> Iterator[None]:
    """Let no weight learn: their gradients are not read, and cost as much again."""
    modes = [(module, module.training) for module in model.modules()]
    learns = [(weight, weight.requires_grad) for weight in model.parameters()]
    model.train(False)
    model.requires_grad_(False)
    try:
        with torch.enable_grad():
            yield
    finally:
        for module, was in modes:
            module.training = was
        for weight, was in learns:
            weight.requires_grad_(was)
