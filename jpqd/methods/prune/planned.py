"""Heads and neurons by a plan: so many stay in each layer.

Where all others go at once, those stay that the search found; on a ramp, or with another score
than the usual one, scores say which.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from transformers import PreTrainedModel

from jpqd.core import compression_plan
from jpqd.core.compression_plan import Structure
from jpqd.core.errors import UserError
from jpqd.methods.prune import budget
from jpqd.methods.prune.heads_ffn import HeadsFfn
from jpqd.methods.prune.options import Options
from jpqd.methods.prune.pruning import Pruning
from jpqd.model import families, size
from jpqd.training.method import Training


class Planned(HeadsFfn):
    """Heads and neurons that go until their numbers are those of a plan."""

    def __init__(
        self,
        model: PreTrainedModel,
        options: Options,
        seed: int,
        wanted: Structure,
        left: Sequence[tuple[int, ...]] | None,
    ) -> None:
        """Prepare for a plan; `left` are the units of each part that stay, if they are known."""
        super().__init__(model, options, seed)
        self.wanted, self.left = wanted, left

    def approach(self, done: float) -> None:
        """Close this share of the gates that the plan closes, in every layer."""
        at_once = done == 1 and all(bool(gate.mask.all()) for gate in self.gates.values())
        for (index, path), gate in self.gates.items():
            is_ffn = path == self.arch.ffn_out
            before, after = gate.mask.numel(), self.wanted[index][is_ffn]
            count = after + round((before - after) * (1 - done))
            if at_once and self.left is not None:
                stays = self.left[2 * index + is_ffn]
            else:
                stays = budget.best(self.worth(index, path), count)
            gate.mask.zero_()
            gate.mask[0, list(stays)] = 1


class PlannedPruning(Pruning):
    structure: Planned

    def _mask(self, done: float) -> None:
        self.structure.approach(done)

    def _learn(self) -> None:
        is_ramp = self.stepped and self.options.schedule != "one_shot"
        if self.structure.left is None or is_ramp:
            super()._learn()


def attach(model: PreTrainedModel, options: Options, stage: str, training: Training) -> Pruning:
    """Prepare pruning by the plan of this stage."""
    plan = compression_plan.load(training.ctx.inputs[stage])
    units = plan.units
    usual = options.score == Options.model_fields["score"].default  # another one wants its units
    left = units.left if units and usual and units.of == digest(model) else None
    structure = Planned(model, options, training.ctx.seed, plan.chosen.layers, left)
    _check(structure, f"{training.stage}: plan: {stage}")
    return PlannedPruning(model, structure, options, training, size.encoder_share(model))


def digest(model: PreTrainedModel) -> str:
    """Return the hash of the weights behind heads and neurons. Their numbers are of these."""
    family, found = families.of(model), hashlib.sha256()
    for layer in families.layers(model):
        for path in (family.attention_out, family.ffn_out):
            part: Any = families.part(layer, path)
            if part is not None:
                found.update(part.weight.detach().float().cpu().numpy().tobytes())
    return found.hexdigest()


def _check(structure: Planned, where: str) -> None:
    """Refuse a plan for a model of another shape."""
    wanted, there = structure.wanted, structure.before
    if len(wanted) != len(there):
        raise UserError(
            f"{where} is for {len(wanted)} layers, and this model has {len(there)}. "
            "Start from the stage that the search needed."
        )
    for number, (want, have) in enumerate(zip(wanted, there, strict=True), 1):
        if want[0] > have[0] or want[1] > have[1]:
            raise UserError(
                f"{where} keeps {want[0]} heads and {want[1]} neurons in layer {number}, and this "
                f"model has {have[0]} and {have[1]} there. Start from the stage that the search "
                "needed."
            )
