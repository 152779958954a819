"""One step of training: the loss, its gradients, the optimizer. And how all of it is kept."""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from transformers import PreTrainedModel

from jpqd.core import processes
from jpqd.data import batching
from jpqd.data.batching import Batch
from jpqd.model import structure
from jpqd.training import optimizing, resize
from jpqd.training.averaging import Average
from jpqd.training.method import Hooks, Training
from jpqd.training.options import TrainOptions
from jpqd.training.steps import Steps
from jpqd.training.word_gradients import WordGradients

_AVERAGE, _OPTIMIZER = "average.safetensors", "optimizer.pt"


class Learner:
    """A model that trains, with all that is kept beside its weights."""

    def __init__(
        self,
        stage: TrainOptions,
        training: Training,
        network: PreTrainedModel,
        hooks: list[Hooks],
        steps: Steps,
        checkpoint: Path | None,
    ) -> None:
        """Start anew, or go on from a checkpoint: the optimizer is made for the shape it has."""
        self.training, self.network, self.hooks, self.steps = training, network, hooks, steps
        self.max_norm = stage.max_grad_norm
        self.rows, self.collate = training.data.splits["train"], training.collator()
        self.average = Average(stage.average) if stage.average else None
        self.device = processes.device()
        nn.Module.to(network, self.device)
        network.config.use_cache = False  # as in every config.json that was sealed before
        if checkpoint:
            self._load_model(checkpoint)
        elif self.average:
            self.average.start(network)
        self.optimizer, self.scheduler = optimizing.build(stage, network, steps)
        if checkpoint:
            self._load_optimizer(checkpoint)
        self.model, self.words = _shared(network), WordGradients(network)
        self.loss_sum = torch.zeros((), device=self.device)
        self.grad_norm = torch.zeros((), device=self.device)
        self.rate = 0.0
        self.metrics: dict[str, float] = {}
        """The last values that methods want to log."""

    # A step.

    def step(self, micro_batches: np.ndarray, done: int) -> None:
        """Take one step, after so many that are done, with some rows in each micro-batch."""
        self._call_methods(done / self.steps.total)
        self.model.train()
        batches = self._weighed([self._batch(rows) for rows in micro_batches])
        for index, batch in enumerate(batches):
            is_last = index == len(batches) - 1
            with self._exchange(is_last=is_last), self.words.kept():
                # Divided before the backward pass: gradients divided after it round differently.
                loss = self.loss(batch) / len(batches)
                torch.autograd.backward(loss)
            self.loss_sum += loss.detach()
        self.grad_norm = nn.utils.clip_grad_norm_(self.model.parameters(), self.max_norm)
        self.optimizer.step()
        self.rate = float(self.scheduler.get_last_lr()[0])
        self.scheduler.step()
        self.model.zero_grad()
        if self.average:
            self.average.update(self.network, done + 1, self.steps.evaluations)

    def _call_methods(self, progress: float) -> None:
        """Let methods change the model; what is kept beside its parameters follows."""
        for hook in self.hooks:
            self.metrics.update(hook.step(progress))
            if (slices := hook.resized()) is not None:
                resize.optimizer(self.optimizer, slices, self.network)
                if self.average:
                    self.average.resize(slices, self.network)

    def _exchange(self, *, is_last: bool) -> AbstractContextManager[None]:
        """Processes exchange their gradients once a step: with its last micro-batch."""
        if is_last or not isinstance(self.model, DistributedDataParallel):
            return nullcontext()
        return self.model.no_sync()

    def _batch(self, rows: np.ndarray) -> Batch:
        batch = self.collate(self.rows.__getitems__(rows.tolist()))
        return {name: tensor.to(self.device) for name, tensor in batch.items()}

    def _weighed(self, batches: list[Batch]) -> list[Batch]:
        """Let each answer of a step count alike, however many are in a batch or in a process."""
        targets = [self.training.kind.targets(batch["labels"]) for batch in batches]
        counts = torch.tensor([len(some) for some in targets], device=self.device).float()
        usual = processes.mean(counts.mean()) or 1.0
        return [
            {**batch, batching.WEIGHT: weight}
            for batch, weight in zip(batches, counts / usual, strict=True)
        ]

    def loss(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Add what the methods want to the task's loss, or to the share of it that stays."""
        kind, bf16 = self.training.kind, self.training.bf16
        for hook in self.hooks:
            inputs = hook.prepare(inputs)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=bf16):
            outputs = self.model(**batching.features(inputs))
        share = math.prod(hook.task_weight for hook in self.hooks)
        labels = inputs["labels"]
        answers = kind.answers(outputs.logits.float(), labels)
        # The mean over no answers is no number, and their sum is 0.
        own = kind.loss(answers, kind.targets(labels)) if len(answers) else answers.sum()
        loss = share * inputs[batching.WEIGHT] * own
        for hook in self.hooks:
            term = hook.loss(inputs, outputs)
            loss = loss if term is None else loss + term
        return loss

    @property
    def ready(self) -> bool:
        """Say whether the model is what all methods ask for, so that it may be chosen."""
        return all(hook.ready for hook in self.hooks)

    def averaged(self) -> AbstractContextManager[None]:
        """Lend the model its averaged weights, if there are any."""
        return self.average.applied(self.network) if self.average else nullcontext()

    # What is written, and how it comes back.

    def save(self, folder: Path) -> None:
        structure.save_weights(self.network, folder)
        kept = {
            "optimizer": self.optimizer.state_dict(),
            "order": resize.order(self.optimizer, self.network),
            "scheduler": self.scheduler.state_dict(),
        }
        torch.save(kept, folder / _OPTIMIZER)
        if self.average:
            self.average.save(folder / _AVERAGE)
        for index, hook in enumerate(self.hooks):
            save_file(hook.state_dict(), _method(folder, index))

    def load_weights(self, folder: Path) -> None:
        """Take the weights of a checkpoint, averaged if there is an average, for the result."""
        if self.average:
            self.average.load(folder / _AVERAGE, self.network)
            self.average.swap(self.network)
        else:
            structure.load_weights(self.network, folder)

    def _load_model(self, folder: Path) -> None:
        """Methods first: they bring the shape back that the weights fit."""
        for index, hook in enumerate(self.hooks):
            hook.load_state_dict(load_file(_method(folder, index)), self.network)
        if self.average:
            self.average.load(folder / _AVERAGE, self.network)
        structure.load_weights(self.network, folder)

    def _load_optimizer(self, folder: Path) -> None:
        kept = torch.load(folder / _OPTIMIZER, map_location="cpu", weights_only=True)
        resize.load_optimizer(self.optimizer, kept["optimizer"], kept["order"], self.network)
        self.scheduler.load_state_dict(kept["scheduler"])


def _method(folder: Path, index: int) -> Path:
    return folder / f"method-{index}.safetensors"


def _shared(network: nn.Module) -> nn.Module:
    """Wrap the model so that the gradients of all processes become their mean."""
    if processes.world_size() == 1:
        return network
    here = processes.device()
    devices = None if here.type == "cpu" else [here]
    # A method may leave some weights out of its loss, and gates may close a whole layer.
    return DistributedDataParallel(network, device_ids=devices, find_unused_parameters=True)
