"""Pruning while a stage trains: the schedule, the weights that stay, and the cut."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from jpqd.core import processes
from jpqd.core.errors import UserError
from jpqd.data.batching import Batch
from jpqd.methods.prune import learning, schedules
from jpqd.methods.prune import refit as refitting
from jpqd.methods.prune.gates import LEARNT, Gate
from jpqd.methods.prune.heads_ffn import HeadsFfn
from jpqd.methods.prune.options import Options
from jpqd.model import shrink
from jpqd.model.shrink import Slices
from jpqd.training import calibration
from jpqd.training.method import Hooks, Metrics, Training

_CUT = "cut"
_WEIGHT = "weight."
_BATCH = 32


class Structure(Protocol):
    """The operations on one kind of units."""

    cuts_early: bool
    """True where training goes on with the smaller model."""
    refits: bool
    """True where output projections of the cut model can be solved again."""

    def bounds(self) -> tuple[float, float]: ...
    def mask(self, keep: float) -> None: ...
    def kept_share(self) -> float: ...
    def cut(self) -> Slices: ...
    def masks(self) -> dict[str, Tensor]: ...
    def restore(self, masks: dict[str, Tensor]) -> None: ...


class Pruning(Hooks):
    def __init__(
        self,
        model: PreTrainedModel,
        structure: Structure,
        options: Options,
        training: Training,
        left: float = 1.0,
    ) -> None:
        """Prepare pruning; `left` is the share of the layers that earlier stages left.

        `keep` counts from the whole model, and a structure from what it sees.
        """
        self.model, self.structure, self.options, self.training = (
            model,
            structure,
            options,
            training,
        )
        self.left = left
        self.done = 0.0
        self.is_cut = False
        self.slices: Slices | None = None
        self.kept = left
        self.stepped = False
        self.early: dict[str, Tensor] | None = None

    @property
    def ready(self) -> bool:
        return self.is_cut or self.done >= 1

    def step(self, progress: float) -> Metrics:
        options, is_first, self.stepped = self.options, not self.stepped, True
        self._remember(progress)
        if is_first:
            self._check_refit()
            if progress >= options.start:
                self._learn()
        if not self.is_cut:
            done = schedules.done(
                options.schedule, progress, options.start, options.end, options.rounds
            )
            at_once = not self.done
            if done > self.done:
                self._prune(done)
            # Processes that share a model cannot exchange it in the middle: they cut at the end.
            if self.ready and self.structure.cuts_early and processes.world_size() == 1:
                self._cut(refit=at_once)
        return {"kept": self.kept}

    def _check_refit(self) -> None:
        """Say where projections are not solved again in training; refuse where that was wanted."""
        options, where = self.options, f"{self.training.stage}: prune"
        wanted = "refit: true" if options.refit else "score: surgeon"
        is_wanted = options.refit or options.score == "surgeon"
        at_once = options.schedule == "one_shot"
        if is_wanted and not at_once:
            raise UserError(
                f"{where}: {wanted}: projections are solved again where all units go at once, and "
                f"not with schedule: {options.schedule}. Give schedule: one_shot."
            )
        if processes.world_size() == 1 or not (at_once and self.structure.refits):
            return
        if is_wanted:
            raise UserError(
                f"{where}: {wanted}: several processes cut the model at the end, when nothing is "
                "solved again. Run this stage without torchrun."
            )
        if options.refit is None:
            told = "    several processes cut at the end and solve no projections again"
            self.training.ctx.progress.say(told)

    @torch.no_grad()
    def _prune(self, done: float, *, is_last: bool = False) -> None:
        self.done = done
        for module in self.model.modules():
            if isinstance(module, Gate):  # each process has learnt from rows of its own
                processes.share(module.score)
        if self.options.score == "surgeon" and isinstance(self.structure, HeadsFfn):
            bf16 = self.training.bf16 and self.stepped
            self.structure.order(self._some_rows(), self.training.kind, bf16=bf16)
        self._mask(done)
        self.kept = self.left * self.structure.kept_share()
        if is_last:  # no step is left to train in
            return
        if self.options.after == "rewind":
            self._rewind()
        elif self.options.after == "reinit":
            self._reinit()

    def _mask(self, done: float) -> None:
        self.structure.mask(1 - (1 - (self.options.keep or 0) / self.left) * done)

    def _cut(self, *, refit: bool = False) -> None:
        """Cut the model, and solve what is left again where all units went at once."""
        self.is_cut = True
        wanted = self.options.refit is not False and self.options.after == "keep"
        refit = refit and wanted and self.structure.refits
        whole = refitting.whole_layers(self.model) if refit else []
        self.slices = {**self.structure.cut(), **(self.slices or {})}
        if refit:
            progress = self.training.ctx.progress
            progress.say("    solves the output projections again")
            texts = (features for features, _ in self._some_rows())
            bf16 = self.training.bf16 and self.stepped
            for weight in refitting.refit(self.model, whole, texts, progress, bf16=bf16):
                self.slices[weight] = None  # its moments and its average are of another weight

    def resized(self) -> Slices | None:
        taken, self.slices = self.slices, None
        return taken

    def finish(self, model: PreTrainedModel) -> PreTrainedModel:
        at_once = not self.done
        if self.done < 1:
            if not self.stepped:
                self._learn()
            self._prune(1.0, is_last=self.stepped)
        if not self.is_cut:
            self._cut(refit=at_once)
        return model

    def _learn(self) -> None:
        """Learn scores where nothing has trained."""
        if self.options.score in LEARNT:
            bf16 = self.training.bf16 and self.stepped
            learning.learn(self.model, self._some_rows(), self.training.kind, bf16=bf16)

    def _some_rows(self) -> Iterator[tuple[Batch, Tensor]]:
        samples = self.options.samples
        return calibration.batches(self.training, samples, self.model.device, _BATCH)

    # What becomes of the weights.

    def _remember(self, progress: float) -> None:
        due = progress >= self.options.rewind_to
        if self.options.after == "rewind" and self.early is None and due:
            self.early = {name: weight.detach().clone() for name, weight in _weights(self.model)}

    def _rewind(self) -> None:
        if self.early is None:  # nothing has trained, so there is nothing to come back to
            return
        for name, weight in _weights(self.model):
            weight.copy_(self.early[name])
        self._start_again()

    def _reinit(self) -> None:
        for _, weight in _weights(self.model):
            weight._is_hf_initialized = False  # type: ignore[attr-defined] # or a loaded one stays
        with torch.random.fork_rng():
            torch.manual_seed(self.training.ctx.seed)
            self.model.apply(self.model._init_weights)
        self._start_again()

    def _start_again(self) -> None:
        """Reset moments and averages, which belong to other weights."""
        self.slices = {weight: None for _, weight in _weights(self.model)}

    # A checkpoint.

    def state_dict(self) -> dict[str, Tensor]:
        state = {_CUT: torch.tensor([self.is_cut]), "done": torch.tensor([self.done]).double()}
        state |= {f"mask.{name}": mask for name, mask in self.structure.masks().items()}
        if self.early and not self.is_cut:
            state |= {_WEIGHT + name: weight.cpu() for name, weight in self.early.items()}
        return state

    def load_state_dict(self, state: dict[str, Tensor], model: PreTrainedModel) -> None:
        self.done, self.stepped = state["done"].item(), True
        self.structure.restore(
            {name.removeprefix("mask."): mask for name, mask in state.items() if "mask." in name}
        )
        self.kept = self.left * self.structure.kept_share()
        early = {n.removeprefix(_WEIGHT): w for n, w in state.items() if n.startswith(_WEIGHT)}
        self.early = {name: weight.to(model.device) for name, weight in early.items()} or None
        if state[_CUT].item():
            self._cut()
            self.slices = None


def _weights(model: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    """Yield the weights that train, without what other methods put around them."""
    return (
        (name, weight)
        for name, weight in model.named_parameters()
        if not name.startswith(shrink.HOOKS)
    )
