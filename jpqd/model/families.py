"""The parts of a model, found by the description of its family."""

from collections.abc import Iterator, Sequence
from typing import Any

from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from jpqd.core.errors import UserError
from jpqd.model.described import ENCODERS, FAMILIES, Family


def name(model: PreTrainedModel) -> str:
    """Return what transformers calls the family."""
    found: str = model.config.model_type
    return found


def knows(model: PreTrainedModel) -> bool:
    """Say whether the model's family is described here, so that it can be pruned."""
    found = FAMILIES.get(name(model))
    return found is not None and (found.needs is None or getattr(model.config, found.needs, False))


def of(model: PreTrainedModel) -> Family:
    """Return the description of the model's family."""
    if name(model) in FAMILIES and not knows(model):
        raise UserError(
            f"a {name(model)} without {FAMILIES[name(model)].needs} in its config.json "
            "cannot be pruned: it has projections that are not described. DeBERTa-v3 has it."
        )
    if not knows(model):
        raise UserError(
            f"models of the family {name(model)!r} cannot be pruned: their heads and neurons are "
            f"not described. Supported: {', '.join(FAMILIES)}."
        )
    return FAMILIES[name(model)]


def alike(model: PreTrainedModel) -> Family:
    """Return the model's own description, or one that fits a model which cannot be pruned.

    To choose and to compare layers takes less than to prune them: CamemBERT is a BERT for this.
    """
    if knows(model):
        return of(model)
    fitting = [family for family in FAMILIES.values() if _layers(model, family) is not None]
    if not fitting:
        raise UserError(
            f"models of the family {name(model)!r}: their layers are not found, so they can "
            f"neither be chosen nor compared. Described: {', '.join(FAMILIES)}."
        )
    return max(fitting, key=lambda family: _has_queries(model, family))


def _layers(model: PreTrainedModel, family: Family) -> nn.ModuleList | None:
    found = part(model.base_model, family.layers)
    return found if isinstance(found, nn.ModuleList) else None


def _has_queries(model: PreTrainedModel, family: Family) -> bool:
    return any(part(layer, family.query) is not None for layer in layers(model, family))


def shows_attention(model: PreTrainedModel) -> bool:
    """Say whether attention is made of queries and keys alone, so that it can be compared.

    Other positions than a learnt table change it in between: rotations, biases, distances.
    """
    family = alike(model)
    by_table = family.positions and part(model.base_model, family.positions) is not None
    between = family.position_bias or family.distances
    return bool(family.reads_ahead and by_table and not between and _has_queries(model, family))


def layers(model: PreTrainedModel, family: Family | None = None) -> nn.ModuleList:
    """Return the encoder's layers, the first one first."""
    found = _layers(model, family or of(model))
    assert found is not None
    return found


def needed_layers(model: PreTrainedModel, worth: Sequence[float]) -> list[int]:
    """Return the layers without which a model could not be loaded again, given what each is worth.

    ModernBERT's first one differs from the others, and it needs a layer of each kind of attention.
    """
    if not knows(model) or not of(model).first_differs:
        return []
    kinds = list(model.config.layer_types)
    best = sorted(range(1, len(kinds)), key=lambda index: -worth[index])
    others = dict.fromkeys(kind for kind in kinds if kind != kinds[0])
    return [0, *(next(index for index in best if kinds[index] == kind) for kind in others)]


def refuse_headless(model: PreTrainedModel, heads: Sequence[int]) -> None:
    """Refuse a decoder's layer without a head: it would have no cache."""
    if not of(model).reads_ahead and not all(heads):
        raise UserError(
            f"layer {list(heads).index(0) + 1} would have no head left, and a decoder's layer "
            "needs one. Keep more, or leave the whole layer out."
        )


def refuse_without(model: PreTrainedModel, kept: Sequence[int]) -> None:
    """Refuse to leave layers out that the others cannot do without."""
    config = model.config
    kinds = getattr(config, "layer_types", None) or [""] * config.num_hidden_layers
    lacks = 0 not in kept or {kinds[index] for index in kept} != set(kinds)
    if lacks and knows(model) and of(model).first_differs:
        raise UserError(
            f"a {name(model)} cannot be loaded again without its first layer, nor without "
            "any layer of one kind of attention. Keep layer 1 and one of the other kind, such as "
            "layers: [1, 2]."
        )
    if getattr(config, "scale_attn_by_inverse_layer_idx", False) and len(kept) < len(kinds):
        raise UserError(
            "the attention of this model is scaled by the number of its layer, so no layer can be "
            "left out."
        )


def tell_layers(config: Any, numbers: Sequence[int]) -> None:
    """Let a config describe a model with these of its layers, or with more like them."""
    config.num_hidden_layers = len(numbers)
    if kinds := getattr(config, "layer_types", None):
        config.layer_types = [kinds[number % len(kinds)] for number in numbers]


def layers_path(model: PreTrainedModel) -> str:
    """Return the path of the layers in the whole model, as its parameters are named."""
    inside = f"{model.base_model_prefix}." if model.base_model is not model else ""
    return inside + of(model).layers


def part(module: nn.Module, path: str) -> nn.Module | None:
    """Find a module inside another one. There is none inside what stands still."""
    try:
        return module.get_submodule(path)
    except AttributeError:
        return None


def head_size(model: PreTrainedModel) -> int:
    """Return the width of a head. Some families set it apart from the hidden size."""
    config = model.config
    size: int = getattr(config, "head_dim", None) or (
        config.hidden_size // config.num_attention_heads
    )
    return size


def _heads(model: PreTrainedModel) -> tuple[int, int]:
    """Return the heads of queries and those of keys, as the config has them."""
    queries: int = model.config.num_attention_heads
    return queries, getattr(model.config, "num_key_value_heads", None) or queries


def feeding(model: PreTrainedModel, out: str) -> dict[str, int]:
    """Map the projections that make what an output projection reads to the rows of a unit in each.

    A unit is a neuron or a head. Query heads that share keys are one head; where all of them share
    the same, each is one, and the keys belong to none.
    """
    family, size = of(model), head_size(model)
    if out == family.ffn_out:
        return dict.fromkeys(family.ffn_in, 1)
    queries, keys = _heads(model)
    if keys == 1:
        return {family.query: size}
    return {family.query: size * queries // keys, family.key: size, family.value: size}


def key_heads(model: PreTrainedModel) -> list[int]:
    """Return the heads of keys that each layer has now, which is what its cache holds."""
    projections = [part(layer, of(model).key) for layer in layers(model)]
    return [int(one.out_features) // head_size(model) for one in projections]  # type: ignore


def unit_size(model: PreTrainedModel) -> int:
    """Return the columns that a head has in the projection behind it."""
    return feeding(model, of(model).attention_out)[of(model).query]


def tell_heads(model: PreTrainedModel, attention: Any, count: int) -> None:
    """Let an attention know how many heads it has left, where it counts them."""
    family = of(model)
    told = {family.heads_told: count, family.width_told: count * unit_size(model)}
    if _heads(model)[1] == 1 and not family.reads_ahead:
        told["num_key_value_groups"] = count
    for name, value in told.items():
        if name is not None:
            setattr(attention, name, value)


def whole_layer(model: PreTrainedModel) -> tuple[int, int]:
    """Return the heads and neurons that the config gives to every layer."""
    neurons = getattr(model.config, of(model).ffn_width) or 4 * model.config.hidden_size
    return _heads(model)[0] * head_size(model) // unit_size(model), neurons


def distances(model: PreTrainedModel) -> int:
    """Return the rows of the table of distances that queries and keys are made of, if any."""
    told = of(model).distances
    return 2 * getattr(model.config, told) if told else 0


def every_token(model: PreTrainedModel) -> Iterator[nn.Linear]:
    """Find the projections that read every token of a text."""
    family = of(model)
    outside = [part(model.base_model, path) for path in family.every_token]
    for found in (layers(model), *outside):
        if found is not None:
            yield from (module for module in found.modules() if isinstance(module, nn.Linear))


def padding(model: PreTrainedModel) -> int | None:
    """Return the row for padding in the table of positions, where it has one."""
    path = FAMILIES.get(name(model), ENCODERS["bert"]).positions
    table = None if path is None else part(model.base_model, path)
    found: int | None = getattr(table, "padding_idx", None)
    return found


def longest(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> int:
    """Return the number of tokens that the model reads at most."""
    before = padding(model)
    first = 0 if before is None else before + 1
    positions: int = model.config.max_position_embeddings
    return min(positions - first, tokenizer.model_max_length)
