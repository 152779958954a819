"""Where the heads and the neurons of each supported family are. One description, no tracing."""

from dataclasses import dataclass

from torch import nn
from transformers import PreTrainedModel

from jpqd.core.errors import UserError


@dataclass(frozen=True)
class Architecture:
    """Names inside a layer, and which modules stand still when no head or no neuron is left."""

    layers: str
    """The list of layers, below the model without its head."""
    query: str
    key: str
    value: str
    attention_out: str
    ffn_in: str
    ffn_out: str
    attention: str
    """What turns hidden states into the context that `attention_out` reads."""
    ffn: str
    """What turns hidden states into what `ffn_out` reads."""


_BERT = Architecture(
    layers="encoder.layer",
    query="attention.self.query",
    key="attention.self.key",
    value="attention.self.value",
    attention_out="attention.output.dense",
    ffn_in="intermediate.dense",
    ffn_out="output.dense",
    attention="attention.self",
    ffn="intermediate",
)
_DISTILBERT = Architecture(
    layers="transformer.layer",
    query="attention.q_lin",
    key="attention.k_lin",
    value="attention.v_lin",
    attention_out="attention.out_lin",
    ffn_in="ffn.lin1",
    ffn_out="ffn.lin2",
    attention="attention",
    ffn="ffn",
)
KNOWN = {"bert": _BERT, "distilbert": _DISTILBERT, "electra": _BERT, "roberta": _BERT}


def knows(model: PreTrainedModel) -> bool:
    """Whether the model is of a family that is described here."""
    return model.config.model_type in KNOWN


def of(model: PreTrainedModel) -> Architecture:
    family = model.config.model_type
    if family not in KNOWN:
        raise UserError(
            f"prune: models of the family {family!r} cannot be pruned. "
            f"Supported: {', '.join(KNOWN)}."
        )
    return KNOWN[family]


def layers(model: PreTrainedModel) -> nn.ModuleList:
    found = model.base_model.get_submodule(of(model).layers)
    assert isinstance(found, nn.ModuleList)
    return found


def layers_path(model: PreTrainedModel) -> str:
    """Below the whole model, as its parameters are named."""
    return f"{model.base_model_prefix}.{of(model).layers}"


def head_size(model: PreTrainedModel) -> int:
    size: int = model.config.hidden_size // model.config.num_attention_heads
    return size
