"""The original's way: scores train under a growing penalty, and a threshold drops the lowest.

The share that stays is a result and not a setting.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn

from jpqd.core.errors import UserError
from jpqd.methods.prune import schedules
from jpqd.methods.prune.block import Block, by_unit
from jpqd.methods.prune.gates import Gate, Shape
from jpqd.methods.prune.pruning import Pruning
from jpqd.training.method import Metrics

_FIRST = 0.001
"""The share of blocks below the threshold when it begins to rise."""
_MOST = 0.98
"""The quantile of a weight's scores below which the threshold stays, so that blocks survive."""


class ScoreGate(Gate):
    """A gate whose score trains; it is open where the score exceeds the threshold."""

    def __init__(self, shape: Shape, block: Shape, kind: str) -> None:
        super().__init__(shape, block, kind)
        del self.score
        self.score = nn.Parameter(torch.zeros(tuple(shape)))
        self.register_buffer("threshold", torch.tensor(-torch.inf))

    def is_open(self) -> Tensor:
        return self.score.detach() > self.get_buffer("threshold")

    def open(self) -> Tensor:
        return self.is_open() + self.score - self.score.detach()  # its gradient goes to the score

    def raise_to(self, threshold: float) -> None:
        most = self.score.detach().quantile(_MOST).item()
        self.get_buffer("threshold").fill_(min(threshold, most))

    def penalty(self) -> Tensor:
        """Return the mean soft mask, times a block's weights; a row or column counts as one."""
        return torch.sigmoid(self.score).mean() * max(1, self.block[0] * self.block[1])


class Thresholded(Block):
    """Blocks that close by themselves and become whole units at the end."""

    kind = ScoreGate

    def bounds(self) -> tuple[float, float]:
        return 0.0, 1.0

    def gates_that_train(self) -> list[ScoreGate]:
        return [cast("ScoreGate", gate) for gate in self.blocks.values()]

    def resolve(self) -> None:
        """Keep a unit, dense again, if any of its blocks stays."""
        for (index, path), gate in self.gates.items():
            units = gate.mask.shape[1]
            parts = [(cast("ScoreGate", part), dim) for part, dim in self.parts(index, path)]
            alive = [by_unit(part.is_open(), dim, units).any(1) for part, dim in parts]
            stays = torch.stack(alive).any(0)
            if not stays.any() and self._needed(path):  # a decoder's last head
                worth = [by_unit(part.score.detach(), dim, units).sum(1) for part, dim in parts]
                stays[torch.stack(worth).sum(0).argmax()] = True
            gate.mask[0] = stays.float()


class ThresholdPruning(Pruning):
    """The ramp raises the threshold and the penalty; the end of it cuts."""

    structure: Thresholded
    first: float | None = None
    strength = 0.0

    def step(self, progress: float) -> Metrics:
        options, self.stepped = self.options, True
        if not self.is_cut:
            self.done = schedules.done("cubic", progress, options.start, options.end, 1)
            self.strength = options.regularization * self.done
            if progress >= options.start:
                self._raise()
            if self.done >= 1:
                self._resolve()
        return {"kept": self.kept, "penalty": self.strength}

    def _raise(self) -> None:
        gates = self.structure.gates_that_train()
        if self.first is None:
            scores = torch.cat([gate.score.detach().flatten() for gate in gates])
            self.first = torch.quantile(scores[:_SAMPLE], _FIRST).item()
        value = self.options.threshold - (self.options.threshold - self.first) * (1 - self.done)
        for gate in gates:
            gate.raise_to(value)

    def _resolve(self) -> None:
        self.structure.resolve()
        self.kept = self.structure.kept_share()
        self.strength = 0.0
        self._cut()

    def loss(self, batch: Mapping[str, Tensor], out: Any) -> Tensor | None:
        if not self.strength:
            return None
        penalties = [gate.penalty() for gate in self.structure.gates_that_train()]
        return self.strength * torch.stack(penalties).mean()

    def finish(self, model: Any) -> Any:
        if not self.stepped:
            raise UserError(
                f"{self.training.stage}: prune: target: threshold learns scores in training, and "
                "the stage has epochs: 0. Give it epochs, or prune to a share with keep."
            )
        if not self.is_cut:
            self._resolve()
        return model

    def state_dict(self) -> dict[str, Tensor]:
        first = torch.tensor([torch.nan if self.first is None else self.first])
        return {**super().state_dict(), "first": first.double()}

    def load_state_dict(self, state: dict[str, Tensor], model: Any) -> None:
        first = state.pop("first").item()
        self.first = None if first != first else first
        super().load_state_dict(state, model)


_SAMPLE = 2**24
"""The most values that torch's quantile takes at once."""
