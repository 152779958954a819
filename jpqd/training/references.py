"""The answers of the recipe's own model, against which those of other models are measured."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
from datasets import Dataset, DatasetDict
from filelock import FileLock
from transformers import PreTrainedTokenizerBase

from jpqd.core import cached, processes, seals
from jpqd.core.errors import SourceError
from jpqd.core.names import PREDICTIONS
from jpqd.core.progress import Progress
from jpqd.data import batching, sources, splits
from jpqd.data.splits import Data
from jpqd.model import loading
from jpqd.recipe.contracts import Context
from jpqd.recipe.task import NewModel
from jpqd.scores import predictions
from jpqd.scores.predictions import Predictions
from jpqd.training import evaluation

_BATCH = 64


def added(
    data: Data, ctx: Context, tokenizer: PreTrainedTokenizerBase, split: str | None = None
) -> Data:
    """Put the answers of the recipe's model behind the labels of what is measured.

    A model that is random, or of another kind, has none; then labels have to say what is right.
    """
    if not data.kind.follows:
        return data
    folder = _trained(ctx, data)
    if folder is None:
        return data
    own = loading.load_tokenizer(folder, ctx.task, ctx.cache)
    if splits.identity(own) != splits.identity(tokenizer):  # the same rows as it reads them
        theirs = splits.prepare(ctx.task, own, ctx.cache, Progress(quiet=True)).splits
    else:
        theirs = data.splits
    asked = dict.fromkeys(("select", sources.canonical(split or ctx.task.report_on)))
    measured = [name for name in asked if name in data.splits]
    vectors = data.kind.vectors
    identity = [
        sources.model_identity(str(folder), pooled=vectors),
        measured,
        splits.fingerprint(ctx.task, own),
    ]
    place = ctx.cache / f"answers-{seals.digest(identity)[:16]}"
    if processes.agree(not cached.is_whole(place, ctx.progress)):
        ctx.progress.say("    the recipe's model gives the answers to compare with")
        network = loading.load(folder, ctx.task)
        collate = batching.collator(own, data.kind)
        found = {
            name: evaluation.predict(
                network, theirs[name], data.kind, collate, _BATCH, ctx.progress
            )
            for name in measured
        }
        if processes.is_main():
            with FileLock(place.with_suffix(".lock")):
                cached.put(place, lambda out: _save(out, found, data))
        processes.barrier()
    answers = {name: predictions.load(place / f"{name}-{PREDICTIONS}")[0] for name in measured}
    more = {name: _beside(data.splits[name], one.logits) for name, one in answers.items()}
    return replace(data, splits=DatasetDict({**data.splits, **more}))


def _trained(ctx: Context, data: Data) -> Path | None:
    """Find the recipe's model, if it has what this kind of task asks of one."""
    new = isinstance(ctx.model, NewModel)
    folder = None if new else sources.model_folder(str(ctx.model))
    if folder is not None and (data.kind.vectors or _scores(folder)):
        return folder
    if data.kind.unlabelled(ctx.task):
        what = "random weights have" if new else f"{ctx.model} is no {data.kind.title}, and has"
        advice = "" if data.kind.vectors else ", or give task.label"
        raise SourceError(
            f"model: {what} no answers to hold others against. Name a trained one{advice}."
        )
    return None


def _scores(folder: Path) -> bool:
    """Return whether a folder's model has a trained head with one number."""
    config = json.loads((folder / "config.json").read_text())
    architecture = next(iter(config.get("architectures") or ()), "")
    numbers = config.get("id2label") or {}
    return architecture.endswith("ForSequenceClassification") and len(numbers) == 1


def _save(out: Path, found: dict[str, Predictions], data: Data) -> None:
    for name, one in found.items():
        predictions.save(out / f"{name}-{PREDICTIONS}", one, data.kind.facts())


def _beside(split: Dataset, answers: np.ndarray) -> Dataset:
    """Return a split whose labels have these answers behind them."""
    exact = split.with_format("numpy", dtype=np.float64)  # the numbers of queries are long
    own = exact["labels"][:].reshape(len(split), -1)
    labels = np.concatenate([own, answers], axis=1)
    return split.remove_columns("labels").add_column("labels", list(labels))
