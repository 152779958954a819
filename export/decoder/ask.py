"""Questions to a decoder: the logits of every token of a window."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import openvino as ov
import torch
from openvino import opset13
from transformers import PreTrainedModel

from export.decoder import given
from export.graph import last
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

SETTINGS = {"accurate": ACCURATE, "deployed": DEPLOYED}

Ask = Callable[[Sequence[int]], torch.Tensor]
"""A function from the tokens of a window to logits: [tokens, words]. The next question's answer
may take their place: half a gigabyte for a large vocabulary."""
AskLast = Callable[[Sequence[int], int], torch.Tensor]
"""A function from tokens to the logits of the last ones, as many as are asked for."""
_LAST = "last_tokens"


def openvino(folder: Path, how: Mapping[str, str]) -> Ask:
    """Compile an IR; each question starts with an empty cache."""
    infer = _compiled(ov.Core().read_model(folder / MODEL), folder, how)
    return lambda ids: infer(given.tokens(ids))


def openvino_last(folder: Path, how: Mapping[str, str]) -> AskLast:
    """Compile an IR that computes logits of the last tokens only: as many as are asked for."""
    model = ov.Core().read_model(folder / MODEL)
    start = opset13.parameter([1], np.int64, name=_LAST)
    start.output(0).set_names({_LAST})
    model.add_parameters([start])
    last.cut(model, start.output(0))
    infer = _compiled(model, folder, how)

    def ask(ids: Sequence[int], count: int) -> torch.Tensor:
        return infer({**given.tokens(ids), _LAST: np.array([-count], np.int64)})

    return ask


def _compiled(
    model: ov.Model, folder: Path, how: Mapping[str, str]
) -> Callable[[Mapping[str, np.ndarray]], torch.Tensor]:
    try:
        compiled = ov.Core().compile_model(model, "CPU", dict(how))
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1]
        raise RunError(f"{folder / MODEL} does not run on the CPU: {reason}") from error
    names = {port.get_any_name() for port in compiled.inputs}
    request = compiled.create_infer_request()

    def infer(inputs: Mapping[str, np.ndarray]) -> torch.Tensor:
        request.reset_state()
        wanted = {name: inputs[name] for name in names}
        found = request.infer(wanted, share_outputs=True)
        return torch.from_numpy(found["logits"][0])

    return infer


def pytorch(network: PreTrainedModel) -> Ask:
    @torch.no_grad()
    def ask(ids: Sequence[int]) -> torch.Tensor:
        found: torch.Tensor = network(input_ids=torch.tensor([list(ids)]), use_cache=False).logits
        return found[0].float()

    return ask
