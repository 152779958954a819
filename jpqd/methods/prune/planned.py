"""Heads and neurons by a plan: so many stay in each layer, and scores say which."""

from __future__ import annotations

from transformers import PreTrainedModel

from jpqd.core import compression_plan
from jpqd.core.compression_plan import Structure
from jpqd.core.errors import UserError
from jpqd.methods.prune import budget
from jpqd.methods.prune.heads_ffn import HeadsFfn
from jpqd.methods.prune.options import Options
from jpqd.methods.prune.pruning import Pruning
from jpqd.model import size
from jpqd.training.method import Training


class Planned(HeadsFfn):
    """Heads and neurons that go until their numbers are those of a plan."""

    def __init__(
        self, model: PreTrainedModel, options: Options, seed: int, wanted: Structure
    ) -> None:
        super().__init__(model, options, seed)
        self.wanted = wanted

    def approach(self, done: float) -> None:
        """Close this share of the gates that the plan closes, in every layer."""
        for (index, path), gate in self.gates.items():
            heads, neurons = self.wanted[index]
            before, after = gate.mask.numel(), neurons if path == self.arch.ffn_out else heads
            count = after + round((before - after) * (1 - done))
            gate.mask.zero_()
            gate.mask[0, list(budget.best(self.worth(index, path), count))] = 1


class PlannedPruning(Pruning):
    structure: Planned

    def _mask(self, done: float) -> None:
        self.structure.approach(done)


def attach(model: PreTrainedModel, options: Options, stage: str, training: Training) -> Pruning:
    """Prepare pruning by the plan of this stage."""
    plan = compression_plan.load(training.ctx.inputs[stage])
    structure = Planned(model, options, training.ctx.seed, plan.chosen.layers)
    _check(structure, f"{training.stage}: plan: {stage}")
    return PlannedPruning(model, structure, options, training, size.encoder_share(model))


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
