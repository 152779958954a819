"""A model with the pieces that texts use: its table of embeddings and its tokenizer get smaller."""

from __future__ import annotations

from typing import Any

import numpy as np
from datasets import Dataset
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from jpqd.core import processes
from jpqd.data import sources, splits, texts
from jpqd.data.splits import Data
from jpqd.model import loading, pieces, size, table
from jpqd.recipe.contracts import Context
from jpqd.training import evaluation, references
from jpqd.training.options import VocabularyOptions

Both = dict[str, Any]
"""A figure before and after."""


def shorten(stage: VocabularyOptions, ctx: Context) -> dict[str, Any]:
    """Leave out what is not used, write it, and measure what was written."""
    loading.quiet()
    folder = ctx.inputs[stage.needs[0]]
    network, tokenizer = loading.load(folder), loading.tokenizer_from(folder)
    pieces.check(tokenizer, ctx.stage)
    before = splits.prepare(ctx.task, tokenizer, ctx.cache, ctx.progress)
    width, rows = table.of(network, ctx.stage).weight.shape[1], network.config.vocab_size
    used = {*_used(stage, before, tokenizer), *table.fixed(network)}
    kept = pieces.kept(tokenizer, used)
    table.keep_rows(network, kept, ctx.stage)
    if processes.is_main():
        _write(network, tokenizer, kept, ctx)
    processes.barrier()
    network, tokenizer = loading.load(ctx.out), loading.tokenizer_from(ctx.out)
    after = splits.prepare(ctx.task, tokenizer, ctx.cache, ctx.progress)
    after = references.added(after, ctx, tokenizer)
    facts = _facts(ctx, before, after, kept, {"before": rows, "after": len(kept)}, width)
    ctx.progress.say(_summary(facts))
    report = evaluation.measure(network, tokenizer, after, ctx.task.report_on, ctx.out)
    sizes = size.facts(network).model_dump(exclude_unset=True)
    return {**report, "vocabulary": facts, "model": sizes, "data": after.facts()}


def _used(stage: VocabularyOptions, data: Data, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """List the ids that train and the further texts use often enough."""
    highest = max(tokenizer.get_vocab().values()) + 1
    counts = np.bincount(_ids(data.splits["train"])[0], minlength=highest)
    for path in stage.texts:
        for lines in texts.lines(path):
            found = tokenizer(lines, add_special_tokens=False)["input_ids"]
            counts += np.bincount(np.concatenate(found).astype(np.int64), minlength=highest)
    found = np.flatnonzero(counts >= stage.min_count)
    return found.tolist()


def _ids(split: Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Return the ids of all texts in a row, and the place where each text begins."""
    lengths = splits.column(split, "length")
    return splits.ids(split), np.cumsum(lengths) - lengths


def _write(
    network: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, kept: list[int], ctx: Context
) -> None:
    new = {old: number for number, old in enumerate(kept)}
    loading.save(network, tokenizer, ctx.out)
    pieces.write(pieces.renumbered(pieces.content(tokenizer), new), ctx.out)


def _facts(
    ctx: Context, before: Data, after: Data, kept: list[int], count: Both, width: int
) -> dict[str, Any]:
    measured = ("train", sources.canonical(ctx.task.report_on))
    return {
        "pieces": count,
        "table_bytes": {when: rows * width * 4 for when, rows in count.items()},
        "unknown": {
            split: {"before": before.unknown[split], "after": after.unknown[split]}
            for split in measured
        },
        "read_differently": {
            split: _changed(before.split(split), after.split(split), kept) for split in measured
        },
    }


def _changed(before: Dataset, after: Dataset, kept: list[int]) -> dict[str, float]:
    """Return the share of tokens whose piece is gone, and of texts that other pieces spell."""
    (ids, starts), (now, begins) = _ids(before), _ids(after)
    stays = np.isin(ids, kept)
    new = np.array(kept)[now]
    spelled = (
        np.array_equal(one, other)
        for one, other in zip(np.split(ids, starts[1:]), np.split(new, begins[1:]), strict=True)
    )
    same = sum(spelled)
    return {"tokens": 1 - float(stays.mean()), "texts": 1 - same / len(starts)}


def _summary(facts: dict[str, Any]) -> str:
    count, room = facts["pieces"], facts["table_bytes"]
    found = [
        f"{split}: {changed['tokens']:.2%} of the tokens in {changed['texts']:.2%} of the texts "
        f"read differently, unknown {facts['unknown'][split]['before']:.2%} -> "
        f"{facts['unknown'][split]['after']:.2%}"
        for split, changed in facts["read_differently"].items()
    ]
    return (
        f"    vocabulary {count['before']:,} -> {count['after']:,} pieces, table "
        f"{room['before'] / 1e6:.1f} -> {room['after'] / 1e6:.1f} MB; {'; '.join(found)}"
    )
