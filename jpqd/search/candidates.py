"""Candidates: a model cut to a structure, solved again, and run on rows held out of train."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import numpy as np
import torch
from transformers import PreTrainedModel

from jpqd.core.compression_plan import Structure
from jpqd.methods.prune import Prune, learning, surgeon
from jpqd.methods.prune import refit as refitting
from jpqd.methods.prune.heads_ffn import HeadsFfn
from jpqd.methods.prune.surgeon import Order
from jpqd.model import shrink
from jpqd.model.shrink import Kept
from jpqd.scores.predictions import Predictions
from jpqd.training import calibration, evaluation
from jpqd.training.method import Training

Orders = Sequence[Order | None]
"""The order of each part's units: heads of the first layer, its neurons, and so on."""
_BATCH = 32


def orders(network: PreTrainedModel, training: Training, samples: int) -> list[Order | None]:
    """Put the units of every part in the order in which they are missed least."""
    rows = calibration.batches(training, samples, network.device, _BATCH)
    return surgeon.orders(network, rows, training.kind)


def worths(structure: HeadsFfn) -> list[list[float]]:
    """Return the scores of a scored model's units: heads of the first layer, neurons, and so on."""
    return [
        structure.worth(index, path).tolist() if (index, path) in structure.gates else []
        for index in range(len(structure.layers))
        for path in (structure.arch.attention_out, structure.arch.ffn_out)
    ]


def left(structure: HeadsFfn, keep: float) -> list[tuple[float, float]]:
    """Return the share of each layer's heads and neurons that `prune: {keep: ...}` would leave."""
    structure.mask(keep)
    shares = {place: float(gate.mask.mean()) for place, gate in structure.gates.items()}
    arch = structure.arch
    return [
        (shares.get((index, arch.attention_out), 1.0), shares.get((index, arch.ffn_out), 1.0))
        for index in range(len(structure.layers))
    ]


def scored(network: PreTrainedModel, training: Training, samples: int, score: str) -> HeadsFfn:
    """Score the units of a copy of a model."""
    gated = copy.deepcopy(network)
    options = Prune.model_validate({"use": "prune", "plan": training.stage, "score": score})
    structure = HeadsFfn(gated, options, training.ctx.seed)
    rows = calibration.batches(training, samples, network.device, _BATCH)
    learning.learn(gated, rows, training.kind)
    return structure


class Candidates:
    """The model, and the rows that its cut copies are solved and run on."""

    def __init__(
        self, network: PreTrainedModel, orders: Orders, training: Training, samples: int
    ) -> None:
        self.network, self.orders, self.kind = network, orders, training.kind
        select = training.data.split("select")
        rows = np.random.default_rng(training.ctx.seed).permutation(len(select))[:samples]
        self.held_out, self.collate = select.select(np.sort(rows)), training.collator()
        self.rows = list(calibration.batches(training, samples, network.device, _BATCH))
        """The rows of train."""
        self.said = self._predict(network)

    @property
    def whole_score(self) -> float:
        return self.kind.value(self.said)

    def run(self, structure: Structure) -> tuple[float, float]:
        """Return the figures of the model that is cut to a structure."""
        return self.figures(self.cut(structure))

    def figures(self, network: PreTrainedModel) -> tuple[float, float]:
        """Return the KL to the whole model, and the main figure."""
        found = self._predict(network)
        return self._divergence(found), self.kind.value(found)

    def left(self, structure: Structure) -> list[tuple[int, ...]]:
        """Return the units of each part that stay."""
        counts = [count for layer in structure for count in layer]
        return [
            order.left(n) if order else () for order, n in zip(self.orders, counts, strict=True)
        ]

    def cut(self, structure: Structure) -> PreTrainedModel:
        """Make the model that `prune` makes of this structure where nothing trains."""
        network = copy.deepcopy(self.network)
        whole = refitting.whole_layers(network)
        kept = self.left(structure)
        shrink.cut(network, [Kept(*pair) for pair in zip(kept[::2], kept[1::2], strict=True)])
        refitting.refit(network, whole, (features for features, _ in self.rows))
        return network

    def _predict(self, network: PreTrainedModel) -> Predictions:
        return evaluation.predict(network, self.held_out, self.kind, self.collate, evaluation.BATCH)

    def _divergence(self, found: Predictions) -> float:
        ours, theirs = torch.from_numpy(found.logits), torch.from_numpy(self.said.logits)
        return float(self.kind.distance(ours, theirs, 1.0))
