"""A student with fewer layers: some of its teacher's, with the teacher's weights."""

from collections.abc import Sequence

from torch import nn
from transformers import PreTrainedModel

from jpqd.core.errors import UserError
from jpqd.model import families, shrink

_PLACES = ("encoder.layer", "transformer.layer")
"""Of the layers in BERT, RoBERTa, ELECTRA and MPNet, and in DistilBERT."""


def layers_of(network: nn.Module) -> nn.ModuleList:
    """The encoder's layers, the first one first."""
    for name, module in network.named_modules():
        if isinstance(module, nn.ModuleList) and name.endswith(_PLACES):
            return module
    raise UserError(
        f"{type(network).__name__}: its layers are not found, so they can neither be chosen nor "
        "compared. Known: BERT, RoBERTa, ELECTRA, MPNet, DistilBERT."
    )


def evenly(count: int, total: int) -> tuple[int, ...]:
    """As many layers out of all, counted from 1, the last one among them."""
    return tuple(-(-(number * total) // count) for number in range(1, count + 1))


def shorten(network: PreTrainedModel, wanted: int | tuple[int, ...], where: str) -> None:
    """Keep these layers, or so many; embeddings, pooler and head stay as they are."""
    layers = layers_of(network)
    highest = wanted if isinstance(wanted, int) else max(wanted)
    if highest > len(layers):
        raise UserError(f"{where}: the model has {len(layers)} layers (got {wanted}).")
    if hasattr(network, shrink.HOOKS):
        raise UserError(f"{where}: the model is quantized. Start from a stage before quantization.")
    numbers = evenly(wanted, len(layers)) if isinstance(wanted, int) else wanted
    _keep_heads(network, numbers)
    for number in range(len(layers), 0, -1):
        if number not in numbers:
            del layers[number - 1]
    network.config.num_hidden_layers = len(numbers)


def _keep_heads(network: PreTrainedModel, numbers: Sequence[int]) -> None:
    """A pruned model knows which heads each of its layers has."""
    if network.config.model_type in families.KNOWN:
        heads = shrink.heads_kept(network)
        shrink.remember_heads(network, [heads[number - 1] for number in numbers])
