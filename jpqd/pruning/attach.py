"""From a recipe's options to what prunes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from transformers import PreTrainedModel

from jpqd import ranks, size
from jpqd.errors import UserError
from jpqd.pruning.block import Block
from jpqd.pruning.heads_ffn import HeadsFfn
from jpqd.pruning.hooks import Pruning, Structure
from jpqd.pruning.layers import Layers
from jpqd.pruning.threshold import Thresholded, ThresholdPruning
from jpqd.pruning.unstructured import Unstructured
from jpqd.stage import Context

if TYPE_CHECKING:
    from jpqd.methods.prune import Prune

STRUCTURES: dict[str, Callable[[PreTrainedModel, Any, int], Structure]] = {
    "heads_ffn": HeadsFfn,
    "layers": Layers,
    "block": Block,
    "unstructured": Unstructured,
}


def attach(model: PreTrainedModel, options: Prune, ctx: Context) -> Pruning:
    if options.keep is None:
        if ranks.world_size() > 1:
            raise UserError(f"{ctx.stage}: target: threshold trains in one process only.")
        return ThresholdPruning(model, Thresholded(model, options, ctx.seed), options, ctx)
    structure = STRUCTURES[options.structure](model, options, ctx.seed)
    left = size.encoder_share(model)
    least, most = (left * bound for bound in structure.bounds())
    if not least <= options.keep <= most:
        already = f" An earlier stage left {left:.4f} of it." if left < 1 else ""
        raise UserError(
            f"{ctx.stage}: keep: {options.keep} cannot be reached. With these floors and ceilings "
            f"between {least:.4f} and {most:.4f} of the encoder's weights can stay.{already}"
        )
    return Pruning(model, structure, options, ctx, left)
