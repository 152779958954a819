"""The vectors of the recipe's own model, against which those of other models are measured."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from datasets import Dataset, DatasetDict
from filelock import FileLock
from transformers import PreTrainedTokenizerBase

from jpqd.core import cached, processes, seals
from jpqd.core.names import PREDICTIONS
from jpqd.data import batching, sources, splits
from jpqd.data.splits import Data
from jpqd.model import loading
from jpqd.recipe.contracts import Context
from jpqd.recipe.task import NewModel
from jpqd.scores import predictions
from jpqd.scores.predictions import Predictions
from jpqd.training import evaluation

_BATCH = 64


def added(data: Data, ctx: Context, tokenizer: PreTrainedTokenizerBase) -> Data:
    """Put the vectors of the recipe's model behind the labels of what is measured.

    There are none where that model is random, or reads other tokens.
    """
    if not data.kind.vectors or isinstance(ctx.model, NewModel):
        return data
    folder = sources.model_folder(ctx.model)
    own = loading.load_tokenizer(folder, ctx.task, ctx.cache)
    if own.get_vocab() != tokenizer.get_vocab():
        ctx.progress.say("    no comparison with the recipe's model: it reads other tokens")
        return data
    identity = [sources.model_identity(str(folder)), splits.fingerprint(ctx.task, tokenizer)]
    place = ctx.cache / f"vectors-{seals.digest(identity)[:16]}"
    measured = [name for name in ("select", ctx.task.report_on) if name in data.splits]
    if processes.agree(not cached.is_whole(place, ctx.progress)):
        ctx.progress.say("    the recipe's model makes the vectors to compare with")
        network = loading.load(folder, ctx.task)
        collate = batching.collator(tokenizer, data.kind)
        found = {
            name: evaluation.predict(network, data.splits[name], data.kind, collate, _BATCH)
            for name in measured
        }
        if processes.is_main():
            with FileLock(place.with_suffix(".lock")):
                cached.put(place, lambda out: _save(out, found, data))
        processes.barrier()
    vectors = {name: predictions.load(place / f"{name}-{PREDICTIONS}")[0] for name in measured}
    more = {name: _beside(data.splits[name], one.logits) for name, one in vectors.items()}
    return replace(data, splits=DatasetDict({**data.splits, **more}))


def _save(out: Path, found: dict[str, Predictions], data: Data) -> None:
    for name, one in found.items():
        predictions.save(out / f"{name}-{PREDICTIONS}", one, data.kind.facts())


def _beside(split: Dataset, vectors: np.ndarray) -> Dataset:
    """Return a split whose labels are scores with vectors behind them."""
    scores = splits.column(split, "labels").reshape(len(split), -1)[:, :1]
    labels = np.concatenate([scores, vectors], axis=1).astype(np.float32)
    return split.remove_columns("labels").add_column("labels", list(labels))
