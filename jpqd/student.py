"""A student with fewer layers: some of its teacher's, with the teacher's weights."""

from torch import nn
from transformers import PreTrainedModel

from jpqd.errors import UserError

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
    numbers = evenly(wanted, len(layers)) if isinstance(wanted, int) else wanted
    for number in range(len(layers), 0, -1):
        if number not in numbers:
            del layers[number - 1]
    network.config.num_hidden_layers = len(numbers)
