"""Single weights: the highest share of zeros. Without AMX a CPU is no faster for it."""

from __future__ import annotations

import numpy as np
import torch
from nncf.torch.function_hook import register_post_function_hook, wrap_model
from torch import Tensor, nn
from transformers import PreTrainedModel

from jpqd.methods.prune.gates import LEARNT, on, remove
from jpqd.methods.prune.options import Options
from jpqd.model import families
from jpqd.model.shrink import Slices


class Unstructured:
    """A mask on every matrix of the encoder, put there like NNCF's own pruning."""

    cuts_early = False
    """The masks stay until the end, because zeroed weights would come back."""
    refits = False

    def __init__(self, model: PreTrainedModel, options: Options, seed: int) -> None:
        self.model, self.options = model, options
        self.generator = torch.Generator().manual_seed(seed)
        wrap_model(model)
        self.weights, self.gates = {}, {}
        path, layers = families.layers_path(model), families.layers(model)
        self.total = sum(parameter.numel() for parameter in layers.parameters())
        for name, module in layers.named_modules():
            if isinstance(module, nn.Linear):
                gate = on(module.weight, (1, 1), options.score)
                register_post_function_hook(model, f"{path}.{name}.weight", 0, gate)
                self.weights[name], self.gates[name] = module.weight, gate
        self.drawn: dict[str, Tensor] = {}

    def bounds(self) -> tuple[float, float]:
        return self._fixed() / self.total, 1.0

    def _fixed(self) -> int:
        """Count the weights that are never pruned: biases and norms."""
        return self.total - sum(weight.numel() for weight in self.weights.values())

    def mask(self, keep: float) -> None:
        scores = {name: self._score(name) for name in self.gates}
        share = (keep * self.total - self._fixed()) / (self.total - self._fixed())
        if self.options.scope == "global":
            kept = _largest(torch.cat([score.flatten() for score in scores.values()]), share)
            parts = torch.split(kept, [score.numel() for score in scores.values()])
            masks = dict(zip(scores, parts, strict=True))
        else:
            masks = {name: _largest(score.flatten(), share) for name, score in scores.items()}
        for name, gate in self.gates.items():
            gate.mask.copy_(masks[name].view_as(gate.mask))

    def _score(self, name: str) -> Tensor:
        if self.options.score in LEARNT:
            return self.gates[name].score
        if self.options.score == "magnitude":
            return self.weights[name].detach().abs()
        if name not in self.drawn:
            shape = self.weights[name].shape
            self.drawn[name] = torch.rand(shape, generator=self.generator)
        return self.drawn[name]

    def kept_share(self) -> float:
        kept = sum(int(gate.mask.sum()) for gate in self.gates.values())
        return (self._fixed() + kept) / self.total

    @torch.no_grad()
    def cut(self) -> Slices:
        """Write the zeros into the weights."""
        for name, gate in self.gates.items():
            self.weights[name].mul_(gate.mask)
        remove(self.model, self.gates.values())
        return {}

    def masks(self) -> dict[str, Tensor]:
        """Return nothing: a checkpoint holds the masks with the model's own weights."""
        return {}

    def restore(self, masks: dict[str, Tensor]) -> None:
        """Do nothing, for the same reason."""


def _largest(scores: Tensor, share: float) -> Tensor:
    """Return ones for this share of the largest scores; the first of equal scores wins."""
    count = round(share * len(scores))
    if not count:
        return torch.zeros_like(scores)
    least = _least(scores.detach(), count)
    kept = scores > least
    ties = (scores == least).nonzero().flatten()
    kept[ties[: count - int(kept.count_nonzero())]] = True
    return kept.to(scores.dtype)


def _least(scores: Tensor, count: int) -> float:
    """Return the least of so many largest scores, which are not sorted: it would take ten times
    as long for all of a BERT's.
    """
    if scores.is_cpu:  # where numpy takes a fifth of kthvalue's time
        return float(np.partition(scores.numpy(), -count)[-count])
    return float(torch.kthvalue(scores, len(scores) - count + 1).values)
