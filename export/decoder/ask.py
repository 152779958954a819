"""Questions to a decoder: the logits of every token of a window."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import openvino as ov
import torch
from transformers import PreTrainedModel

from export.names import MODEL
from jpqd.core.errors import RunError

ACCURATE = {
    "INFERENCE_PRECISION_HINT": "f32",
    "KV_CACHE_PRECISION": "f16",
    "DYNAMIC_QUANTIZATION_GROUP_SIZE": "0",
}
"""Settings under which an IR computes what it says, and nothing is rounded beside its weights."""
DEPLOYED: Mapping[str, str] = {}
"""The device's own settings."""

Ask = Callable[[Sequence[int]], torch.Tensor]
"""A function from the tokens of a window to logits: [tokens, words]."""


def openvino(folder: Path, how: Mapping[str, str]) -> Ask:
    """Compile an IR; each question starts with an empty cache."""
    try:
        model = ov.Core().compile_model(folder / MODEL, "CPU", dict(how))
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1]
        raise RunError(f"{folder / MODEL} does not run on the CPU: {reason}") from error
    names = {port.get_any_name() for port in model.inputs}
    request = model.create_infer_request()

    def ask(ids: Sequence[int]) -> torch.Tensor:
        request.reset_state()
        given = inputs(ids)
        found = request.infer({name: given[name] for name in names})
        return torch.from_numpy(found["logits"][0].copy())

    return ask


def inputs(ids: Sequence[int]) -> dict[str, np.ndarray]:
    """Return what a stateful decoder may read, for one text from its start."""
    tokens = np.asarray(ids, np.int64)[None]
    return {
        "input_ids": tokens,
        "attention_mask": np.ones_like(tokens),
        "position_ids": np.arange(tokens.shape[1], dtype=np.int64)[None],
        "beam_idx": np.zeros(1, np.int32),
    }


def pytorch(network: PreTrainedModel) -> Ask:
    @torch.no_grad()
    def ask(ids: Sequence[int]) -> torch.Tensor:
        found: torch.Tensor = network(input_ids=torch.tensor([list(ids)]), use_cache=False).logits
        return found[0].float()

    return ask
