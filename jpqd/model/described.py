"""One description for each family of models. No other file knows a name inside one of them."""

from dataclasses import dataclass, replace
from typing import Literal


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
    norms: Literal["after", "before", "around"] = "after"
    """The place of the normalizations: behind the sum with the residual, before a sub-layer, or
    before and behind it. Only the first puts them into the residual."""
    first_differs: str | None = None
    """A normalization that the first layer does without, so it cannot be left out."""
    reads_ahead: bool = True
    """Each token sees those behind it. A decoder's does not, and its layers need a head each: what
    they remember of a text is kept by layer."""


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
    norms="before",
    first_differs="attn_norm",
)
_GPT2 = Family(
    layers="h",
    query="attn.c_attn.query",
    key="attn.c_attn.key",
    value="attn.c_attn.value",
    attention_out="attn.c_proj",
    ffn_in=("mlp.c_fc",),
    ffn_out="mlp.c_proj",
    attention="attn",
    ffn="mlp",
    positions="wpe",
    heads_told="num_heads",
    width_told="split_size",
    ffn_width="n_inner",
    joined=(("attn.c_attn", ("query", "key", "value")),),
    norms="before",
    reads_ahead=False,
)
_LLAMA = Family(
    layers="layers",
    query="self_attn.q_proj",
    key="self_attn.k_proj",
    value="self_attn.v_proj",
    attention_out="self_attn.o_proj",
    ffn_in=("mlp.gate_proj", "mlp.up_proj"),
    ffn_out="mlp.down_proj",
    attention="self_attn",
    ffn="mlp",
    positions=None,
    heads_told=None,
    width_told=None,
    norms="before",
    reads_ahead=False,
)
ENCODERS = {
    "bert": _BERT,
    "deberta-v2": _DEBERTA_V2,
    "distilbert": _DISTILBERT,
    "electra": replace(_BERT, every_token=("embeddings_project",)),
    "modernbert": _MODERNBERT,
    "mpnet": _MPNET,
    "roberta": _BERT,
    "xlm-roberta": _BERT,
}
DECODERS = {
    "gemma3_text": replace(_LLAMA, norms="around"),
    "gpt2": _GPT2,
    "llama": _LLAMA,
    "qwen2": _LLAMA,
    "qwen3": _LLAMA,
}
FAMILIES = ENCODERS | DECODERS
