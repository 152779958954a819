"""The pruning that a recipe's options describe."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from transformers import PreTrainedModel

from jpqd.core import advice, processes
from jpqd.core.errors import UserError
from jpqd.methods.prune import planned
from jpqd.methods.prune.block import Block
from jpqd.methods.prune.heads_ffn import HeadsFfn
from jpqd.methods.prune.layers import Layers
from jpqd.methods.prune.options import Options
from jpqd.methods.prune.pruning import Pruning, Structure
from jpqd.methods.prune.threshold import Thresholded, ThresholdPruning
from jpqd.methods.prune.unstructured import Unstructured
from jpqd.model import size
from jpqd.model.apart import Apart
from jpqd.training.method import Training


def _advised(options: Options, stage: str, training: Training) -> Options:
    floor = advice.load(training.ctx.inputs[stage]).floor
    training.ctx.progress.say(f"    prune: floor {floor:g}, as {stage} advises")
    if floor > options.ceiling:
        raise UserError(
            f"{training.stage}: ceiling {options.ceiling} is below the floor {floor:g} that "
            f"{stage} advises. Remove one of them."
        )
    return options.model_copy(update={"floor": floor})


STRUCTURES: dict[str, Callable[[PreTrainedModel, Any, int], Structure]] = {
    "heads_ffn": HeadsFfn,
    "layers": Layers,
    "block": Block,
    "unstructured": Unstructured,
}


def attach(model: PreTrainedModel, options: Options, training: Training) -> Pruning:
    if options.advice is not None:
        options = _advised(options, options.advice, training)
    if options.after == "reinit" and any(isinstance(part, Apart) for part in model.modules()):
        raise UserError(
            f"{training.stage}: prune: after: reinit: the projections of this model are joined, "
            "and transformers cannot draw the parts anew. Give keep or rewind."
        )
    if options.plan is not None:
        return planned.attach(model, options, options.plan, training)
    if options.keep is None:
        if processes.world_size() > 1:
            raise UserError(
                f"{training.stage}: target: threshold trains in one process only, without torchrun."
            )
        return ThresholdPruning(
            model, Thresholded(model, options, training.ctx.seed), options, training
        )
    structure = STRUCTURES[options.structure](model, options, training.ctx.seed)
    left = size.encoder_share(model)
    least, most = (left * bound for bound in structure.bounds())
    if not least <= options.keep <= most:
        already = f" An earlier stage left {left:.4f} of it." if left < 1 else ""
        raise UserError(
            f"{training.stage}: keep: {options.keep} cannot be reached. The floor and ceiling "
            f"allow between {least:.4f} and {most:.4f} of the weights of all layers.{already}"
        )
    return Pruning(model, structure, options, training, left)
