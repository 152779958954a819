"""A student with fewer layers: some of its teacher's, with the teacher's weights."""

from torch import nn
from transformers import PreTrainedModel

from jpqd.core.errors import UserError
from jpqd.model import families, shrink


def layers_of(network: PreTrainedModel) -> nn.ModuleList:
    """Return the encoder's layers, also where the family cannot be pruned."""
    return families.layers(network, families.alike(network))


def evenly(count: int, total: int) -> tuple[int, ...]:
    """Choose so many layers out of all, counted from 1, the last one among them."""
    return tuple(-(-(number * total) // count) for number in range(1, count + 1))


def _spread(network: PreTrainedModel, count: int, total: int) -> tuple[int, ...]:
    """Choose so many layers, with those among them that the model cannot do without."""
    chosen = evenly(count, total)
    if needed := families.needed_layers(network, [float(n + 1 in chosen) for n in range(total)]):
        least = [number + 1 for number in needed]
        others = [number for number in chosen if number not in least]
        chosen = tuple(sorted([*least, *others[len(others) - max(0, count - len(least)) :]]))
    return chosen


def shorten(network: PreTrainedModel, wanted: int | tuple[int, ...], where: str) -> None:
    """Keep these layers, or so many; embeddings, pooler and head stay as they are."""
    layers = layers_of(network)
    highest = wanted if isinstance(wanted, int) else max(wanted)
    if highest > len(layers):
        raise UserError(f"{where}: the model has {len(layers)} layers (got {wanted}).")
    if hasattr(network, shrink.HOOKS):
        raise UserError(f"{where}: the model is quantized. Start from a stage before quantization.")
    numbers = _spread(network, wanted, len(layers)) if isinstance(wanted, int) else wanted
    shrink.leave_layers(network, [number - 1 for number in numbers])
