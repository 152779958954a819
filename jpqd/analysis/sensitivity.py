"""The worth of each part of a model: every part alone is pruned, or gets fewer bits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from scipy import stats
from transformers import PreTrainedModel

from jpqd.analysis import distance, parts
from jpqd.analysis.options import SensitivityOptions
from jpqd.analysis.parts import Units
from jpqd.core import advice, files
from jpqd.core.advice import Advice
from jpqd.data import splits
from jpqd.model import families, loading
from jpqd.recipe.contracts import Context
from jpqd.scores.predictions import Predictions
from jpqd.search import candidates
from jpqd.search.store import Store
from jpqd.training import evaluation
from jpqd.training.method import Training

FILE = "sensitivity.json"
KEPT, BITS = (0.75, 0.5, 0.25, 0.0), (8, 4, 2)
SCORES = ("fisher", "taylor", "magnitude")
_WORTH_SPARING = 1e-3
"""The divergence by eight bits of one part from which the part is better left alone."""
_STEEP = 5.0
_HARD, _FLOOR = 0.3, 0.08
"""The share of the encoder for which a floor is looked for, and that floor: a head of twelve."""
_UNITS = ("heads", "neurons")


def run(stage: SensitivityOptions, ctx: Context) -> dict[str, Any]:
    """Try every cell, rank scores by what was measured, and say what follows."""
    loading.quiet()
    folder = ctx.inputs[stage.needs[0]]
    network = loading.load(folder)
    families.of(network)  # refuses a family whose parts are not known
    tokenizer = loading.load_tokenizer(folder, ctx.task, ctx.cache)
    data = splits.prepare(ctx.task, tokenizer, ctx.cache, ctx.progress)
    training = Training(ctx, tokenizer, data, bf16=False)
    by_score = {name: candidates.scored(network, training, stage.samples, name) for name in SCORES}
    ranks = {name: candidates.worths(structure) for name, structure in by_score.items()}
    trial = _Trial(network, training, stage.samples, Store(ctx.work / "cells.jsonl", {}))
    cells = list(trial.cells(parts.units(network, ranks["fisher"])))
    follows = advised(cells, candidates.left(by_score["fisher"], _HARD))
    made = {
        "rows": len(trial.rows),
        "measure": distance.name(data.kind),
        "whole": trial.figures(trial.said),
        "cells": cells,
        "correlations": {
            name: _correlation(cells, parts.units(network, own)) for name, own in ranks.items()
        },
        "advice": follows.model_dump(),
    }
    files.write_json(ctx.out / FILE, made)
    advice.save(follows, ctx.out)
    return {"sensitivity": made, "data": data.facts()}


class _Trial:
    """A model, and the held-out rows on which it answers with one part changed."""

    def __init__(
        self, network: PreTrainedModel, training: Training, samples: int, store: Store
    ) -> None:
        self.network, self.training, self.store = network, training, store
        select = training.data.split("select")
        drawn = np.random.default_rng(training.ctx.seed).permutation(len(select))[:samples]
        self.rows: Dataset = select.select(np.sort(drawn).tolist())
        self.said = self._answers()

    def cells(self, units: list[Units]) -> Iterator[dict[str, Any]]:
        progress, every = self.training.ctx.progress, parts.of(self.network)
        count = sum(len(_different(own)) for own in units) + len(every) * len(BITS)
        progress.say(f"    {count} trials on {len(self.rows)} held-out rows")
        for own in units:
            for keep in _different(own):
                cell = {"layer": own.layer, "part": own.name, "keep": keep}
                found = self._found(cell, parts.without(own, keep))
                yield {**cell, "gone": own.gone(keep), **found}
        for part in every:
            for bits in BITS:
                cell = {"layer": part.layer, "part": part.name, "bits": bits}
                found = self._found(cell, parts.rounded(part, bits))
                yield {**cell, "modules": list(part.modules), **found}

    def _found(self, cell: dict[str, Any], change: AbstractContextManager[Any]) -> dict[str, Any]:
        def tried() -> dict[str, Any]:
            with change:
                return self.figures(self._answers())

        found: dict[str, Any] = self.store.once(cell, tried)
        return found

    def _answers(self) -> Predictions:
        training = self.training
        return evaluation.predict(
            self.network, self.rows, training.kind, training.collator(), evaluation.BATCH
        )

    def figures(self, found: Predictions) -> dict[str, Any]:
        """Return the divergence from the whole model, the loss and the main figure."""
        kind = self.training.kind
        logits, labels = torch.from_numpy(found.logits), torch.from_numpy(found.labels)
        return {
            "divergence": distance.of(kind, found, self.said),
            "loss": float(kind.loss(logits, labels)),
            "score": kind.value(found),
        }


def _different(units: Units) -> list[float]:
    """Leave out shares that mean as many units as a larger one: a part may have few."""
    counts = {keep: len(units.gone(keep)) for keep in KEPT}
    return [keep for keep, count in counts.items()
            if count and count not in [counts[more] for more in KEPT if more > keep]]  # fmt: skip


def _correlation(cells: list[dict[str, Any]], units: list[Units]) -> float | None:
    """Return the rank correlation of what the units that are gone are worth with the divergence."""
    worth = {(one.layer, one.name): one.ranks for one in units}
    tried = [cell for cell in cells if cell.get("gone")]
    said = [sum(worth[cell["layer"], cell["part"]][unit] for unit in cell["gone"])
            for cell in tried]  # fmt: skip
    found = stats.spearmanr(said, [cell["divergence"] for cell in tried]).statistic
    return float(found) if np.isfinite(found) else None


def advised(cells: list[dict[str, Any]], left: Sequence[tuple[float, float]]) -> Advice:
    """Return what follows for a recipe: modules to leave alone, and a floor.

    `left` are the shares of each layer's heads and neurons that scores alone would leave. A floor
    is for a part that they would empty and that is dear: elsewhere it takes room from what is.
    """
    eight = [cell for cell in cells if cell.get("bits") == 8]
    sparing = [
        name for cell in eight if cell["divergence"] > _WORTH_SPARING for name in cell["modules"]
    ]
    emptied = [place for place in _steep(cells) if left[place[0]][_UNITS.index(place[1])] < _FLOOR]
    return Advice(ignore=sparing, floor=_FLOOR if emptied else 0.0)


def _steep(cells: list[dict[str, Any]]) -> list[tuple[int, str]]:
    """Return the parts whose last quarter costs more than most parts do, and than their rest."""
    by_place: dict[tuple[int, str], dict[float, float]] = {}
    for cell in cells:
        if "keep" in cell:
            place = cell["layer"], cell["part"]
            by_place.setdefault(place, {})[cell["keep"]] = cell["divergence"]
    typical = float(np.median([found[0.0] for found in by_place.values()])) if by_place else 0.0
    return [
        place
        for place, found in by_place.items()
        if len(found) > 1
        and found[0.0] > max(typical, _STEEP * found[min(keep for keep in found if keep)])
    ]
