"""One description for each family of models. No other file knows a name inside one of them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from jpqd.core.errors import UserError


@dataclass(frozen=True)
class Family:
    """The paths of what is pruned, quantized, compared and counted.

    `layers`, `positions` and `every_token` are paths below the model without its head, the others
    are paths inside a layer.
    """

    layers: str
    query: str
    key: str
    value: str
    attention_out: str
    ffn_in: tuple[str, ...]
    """The projections that make the neurons: one, or two that are multiplied."""
    ffn_out: str
    attention: str
    """The part that makes the context that `attention_out` reads. It stands still when
    no head is left."""
    ffn: str
    """The part that makes what `ffn_out` reads."""
    positions: str | None = "embeddings.position_embeddings"
    """The table of positions, if there is one. Where it has a row for padding, positions count
    from behind it."""
    every_token: tuple[str, ...] = ()
    """Projections outside the layers that read every token. A head reads one."""
    heads_told: str | None = "num_attention_heads"
    """The attention's own count of its heads, if it keeps one, ..."""
    width_told: str | None = "all_head_size"
    """... and its own width of all of them."""
    ffn_width: str = "intermediate_size"
    """The number of neurons, as the config names it."""
    position_bias: str | None = None
    """The argument that brings the attention a bias for each head, if the layers share one."""
    products: int = 2
    """Matrix products in an attention that is written out: scores, then context."""
    needs: str | None = None
    """A switch of the config that must be on, or there are projections that no path names."""
    distances: str | None = None
    """Half of the rows of a table of distances of which queries and keys are made too, as the
    config names them."""
    calls: tuple[tuple[str, int], ...] = ()
    """Other operations that a layer calls more than once, by their place in it."""
    joined: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """Projections that are one matrix in transformers, and the names that its parts get here."""
    pre_norm: bool = False
    """The residual goes round the normalizations: a sub-layer reads what comes out of one."""
    first_differs: str | None = None
    """A normalization that the first layer does without, so it cannot be left out."""

    def feeding(self, out: str) -> tuple[str, ...]:
        """Return the projections that make what an output projection reads."""
        return self.ffn_in if out == self.ffn_out else (self.query, self.key, self.value)


_BERT = Family(
    layers="encoder.layer",
    query="attention.self.query",
    key="attention.self.key",
    value="attention.self.value",
    attention_out="attention.output.dense",
    ffn_in=("intermediate.dense",),
    ffn_out="output.dense",
    attention="attention.self",
    ffn="intermediate",
)
_DISTILBERT = Family(
    layers="transformer.layer",
    query="attention.q_lin",
    key="attention.k_lin",
    value="attention.v_lin",
    attention_out="attention.out_lin",
    ffn_in=("ffn.lin1",),
    ffn_out="ffn.lin2",
    attention="attention",
    ffn="ffn",
    heads_told=None,
    width_told=None,
    ffn_width="hidden_dim",
)
_MPNET = replace(
    _BERT,
    query="attention.attn.q",
    key="attention.attn.k",
    value="attention.attn.v",
    attention_out="attention.attn.o",
    attention="attention.attn",
    position_bias="position_bias",
)
# Queries and keys are also made of the table of distances that the layers share.
_DEBERTA_V2 = replace(
    _BERT,
    query="attention.self.query_proj",
    key="attention.self.key_proj",
    value="attention.self.value_proj",
    needs="share_att_key",
    distances="position_buckets",
    calls=(
        ("attention/self/query_proj/linear", 2),
        ("attention/self/key_proj/linear", 2),
        ("attention/self/bmm", 4),
        ("attention/self/div", 3),
    ),
)
_MODERNBERT = Family(
    layers="layers",
    query="attn.Wqkv.query",
    key="attn.Wqkv.key",
    value="attn.Wqkv.value",
    attention_out="attn.Wo",
    ffn_in=("mlp.Wi.input", "mlp.Wi.gate"),
    ffn_out="mlp.Wo",
    attention="attn",
    ffn="mlp",
    positions=None,
    heads_told=None,
    width_told=None,
    calls=(("attn/add", 2),),
    joined=(("attn.Wqkv", ("query", "key", "value")), ("mlp.Wi", ("input", "gate"))),
    pre_norm=True,
    first_differs="attn_norm",
)
FAMILIES = {
    "bert": _BERT,
    "deberta-v2": _DEBERTA_V2,
    "distilbert": _DISTILBERT,
    "electra": replace(_BERT, every_token=("embeddings_project",)),
    "modernbert": _MODERNBERT,
    "mpnet": _MPNET,
    "roberta": _BERT,
    "xlm-roberta": _BERT,
}


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
            f"prune: a {name(model)} without {FAMILIES[name(model)].needs} in its config.json "
            "cannot be pruned: it has projections that are not described. DeBERTa-v3 has it."
        )
    if not knows(model):
        raise UserError(
            f"prune: models of the family {name(model)!r} cannot be pruned. "
            f"Supported: {', '.join(FAMILIES)}."
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
    """Say whether queries are found, so that attention can be compared."""
    return knows(model) or _has_queries(model, alike(model))


def layers(model: PreTrainedModel, family: Family | None = None) -> nn.ModuleList:
    """Return the encoder's layers, the first one first."""
    found = _layers(model, family or of(model))
    assert found is not None
    return found


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


def whole_layer(model: PreTrainedModel) -> tuple[int, int]:
    """Return the heads and neurons that the config gives to every layer."""
    config = model.config
    return config.num_attention_heads, getattr(config, of(model).ffn_width)


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
    path = FAMILIES.get(name(model), _BERT).positions
    table = None if path is None else part(model.base_model, path)
    found: int | None = getattr(table, "padding_idx", None)
    return found


def longest(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> int:
    """Return the number of tokens that the model reads at most."""
    before = padding(model)
    first = 0 if before is None else before + 1
    positions: int = model.config.max_position_embeddings
    return min(positions - first, tokenizer.model_max_length)
