"""Whole layers: fewer steps in a row, which helps the latency of short texts most."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor, nn
from torch._C import DisableTorchFunction
from transformers import PreTrainedModel

from jpqd.methods.prune import budget
from jpqd.methods.prune.budget import Pool
from jpqd.methods.prune.gates import LEARNT, Gate
from jpqd.methods.prune.options import Options
from jpqd.model import families, shrink
from jpqd.model.shrink import Slices

_GATE = "prune_gate"


class Layers:
    """The layers of a model, each with a gate between its input and its output."""

    cuts_early = True
    refits = False

    def __init__(self, model: PreTrainedModel, options: Options, seed: int) -> None:
        self.model, self.options = model, options
        self.layers = families.layers(model)
        self.random = np.random.default_rng(seed).random(len(self.layers))
        self.handles = []
        for layer in self.layers:
            layer.add_module(_GATE, Gate((1, 1), (1, 1), options.score).to(model.device))
            self.handles.append(layer.register_forward_hook(_pass))
        self.gates = [layer.get_submodule(_GATE) for layer in self.layers]

    def bounds(self) -> tuple[float, float]:
        return 1 / len(self.layers), 1.0

    def mask(self, keep: float) -> None:
        """Keep the nearest number of layers, at least one: all layers have the same size."""
        count = max(1, round(keep * len(self.layers)))
        scores = self._scores()
        needed = families.needed_layers(self.model, scores.tolist())
        scores[needed] = np.inf
        (kept,) = budget.choose([Pool(0, scores, 1)], max(count, len(needed)))
        for index, gate in enumerate(self.gates):
            gate.get_buffer("mask").fill_(index in kept)

    def _scores(self) -> np.ndarray:
        score = self.options.score
        if score in LEARNT:
            return np.array([gate.get_buffer("score").item() for gate in self.gates])
        if score == "random":
            return self.random.copy()
        return np.array([_norm(layer, self.options.norm) for layer in self.layers])

    def kept_share(self) -> float:
        return sum(gate.get_buffer("mask").item() for gate in self.gates) / len(self.gates)

    def cut(self) -> Slices:
        for handle, layer in zip(self.handles, self.layers, strict=True):
            handle.remove()
            delattr(layer, _GATE)
        kept = [i for i, gate in enumerate(self.gates) if gate.get_buffer("mask").item()]
        shrink.drop_layers(self.model, kept)
        return {}

    def masks(self) -> dict[str, Tensor]:
        return {str(i): gate.get_buffer("mask").cpu() for i, gate in enumerate(self.gates)}

    def restore(self, masks: dict[str, Tensor]) -> None:
        for index, gate in enumerate(self.gates):
            gate.get_buffer("mask").copy_(masks[str(index)])


def _pass(layer: nn.Module, given: Any, out: Any) -> Any:
    gate = layer.get_submodule(_GATE)
    assert isinstance(gate, Gate)
    if not gate.training and _is_open(gate):  # NNCF would quantize this sum, which goes at the cut
        return out
    hidden = given[0]
    return hidden + gate.open()[0] * (out - hidden)


def _is_open(gate: Gate) -> bool:
    with DisableTorchFunction():  # and would take this for a part of the model
        return bool(gate.mask.item() == 1)


def _norm(layer: nn.Module, norm: str) -> float:
    power = 1 if norm == "l1" else 2
    mass = sum(float(p.detach().abs().pow(power).sum()) for p in layer.parameters())
    return float(mass ** (1 / power))
