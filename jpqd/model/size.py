"""The size of a model: parameters, weights of the encoder that stayed, operations for a text."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel

from jpqd.core.errors import UserError
from jpqd.core.manifest import ModelFacts
from jpqd.model import apart, families, shrink

TOKENS = 128
"""Operations are counted for one text of this length."""


def facts(model: PreTrainedModel) -> ModelFacts:
    """Measure a model. Shares are of the encoder that its config describes."""
    own = [p for name, p in model.named_parameters() if not name.startswith(shrink.HOOKS)]
    found: dict[str, Any] = {
        "parameters": sum(parameter.numel() for parameter in own),
        "precision": precision(model),
    }
    if families.knows(model):
        found |= _encoder_facts(model)
    return ModelFacts(**found)


def _encoder_facts(model: PreTrainedModel) -> dict[str, Any]:
    whole = _dense(model)
    left = [p for layer in families.layers(model) for p in layer.parameters()]
    weights = sum(parameter.numel() for parameter in left)
    zeros = sum(int((parameter == 0).sum()) for parameter in left if parameter.dim() > 1)
    total = _encoder(whole)
    return {
        "encoder_weights": weights,
        "encoder_share": weights / total,
        "nonzero_share": (weights - zeros) / total,
        "gflops_128": operations(model, TOKENS) / 1e9,
        "dense": {"encoder_weights": total, "gflops_128": operations(whole, TOKENS) / 1e9},
        "layers": shrink.sizes(model),
    }


def encoder_share(model: PreTrainedModel) -> float:
    """Return the share that earlier stages left of the encoder that the config describes."""
    return _encoder(model) / _encoder(_dense(model))


def summary(found: ModelFacts, what: str) -> str:
    """Say in one line what was cut out of an encoder or a decoder, where its family is known."""
    if found.dense is None or found.encoder_weights is None:
        return ""
    return (
        f"{what} {found.dense.encoder_weights / 1e6:.2f} -> {found.encoder_weights / 1e6:.2f} M "
        f"weights ({found.encoder_share:.1%}), {found.dense.gflops_128:.2f} -> "
        f"{found.gflops_128:.2f} GFLOPs for {TOKENS} tokens, {found.precision}"
    )


def operations(model: PreTrainedModel, tokens: int) -> int:
    """Multiplications and additions of the matrix products. Heads see one token, layers all."""
    total = 0
    every = set(families.every_token(model))
    for module in model.modules():
        if isinstance(module, nn.Linear):
            seen = tokens if module in every else 1
            total += 2 * module.in_features * module.out_features * seen
    size, rows = families.unit_size(model), families.distances(model)
    for heads, _ in shrink.sizes(model):
        total += 2 * 2 * tokens * (tokens + rows) * heads * size
        total += 2 * 2 * rows * model.config.hidden_size * heads * size
    return total


def _dense(model: PreTrainedModel) -> PreTrainedModel:
    """The model before anything was cut, without memory for its weights."""
    config = type(model.config).from_dict(model.config.to_dict())
    families.tell_layers(config, range(shrink.layers_before(model)))
    with torch.device("meta"):
        whole = type(model)(config)
        apart.separate(whole)
    return whole


def _encoder(model: PreTrainedModel) -> int:
    return sum(parameter.numel() for parameter in families.layers(model).parameters())


def refuse_four_bits(model: PreTrainedModel, where: str) -> None:
    """Refuse to change weights that have few values: their grid would no longer hold them."""
    if precision(model) == "INT4":
        raise UserError(
            f"{where}: its weights have four bits, and are exported as they are. Start from the "
            "stage before qlora."
        )


def precision(model: PreTrainedModel) -> str:
    """Name the precision that the weights are to be stored in."""
    hooks = getattr(model, shrink.HOOKS, None)
    if hooks is None or not any("scale" in name for name in hooks.state_dict()):
        return "FP32"
    return f"INT{min((getattr(hook, 'bits', 8) for hook in hooks.modules()), default=8)}"
