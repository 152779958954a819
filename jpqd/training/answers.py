"""A model's own answers to texts without labels, as a table that a recipe can read."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datasets import Dataset
from filelock import FileLock
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from jpqd.core import cached, cells, files, seals
from jpqd.core.errors import SourceError, UserError
from jpqd.core.names import OWN_ANSWER
from jpqd.core.progress import Progress
from jpqd.data import batching, sources
from jpqd.model import families, loading, size
from jpqd.tasks import Kind
from jpqd.training import evaluation

FILE, TEXTS = "answers.jsonl", "texts.jsonl"
"""The texts with answers, and texts alone, where an answer is a vector and is no label."""
_VERSION = 1


@dataclass(frozen=True)
class Answering:
    """A model whose head is trained."""

    source: str
    kind: Kind
    network: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase


def load(source: str, folder: Path, kind: Kind, *, cuts: bool) -> Answering:
    """Load a model from its folder, and refuse one that has nothing to say or cannot be cut."""
    loading.quiet()
    tokenizer = loading.tokenizer_from(folder)
    network, fresh = loading.load_for_training(folder, kind, tokenizer)
    if fresh:
        raise SourceError(
            f"model {source!r}: its head is not trained (no weights for {cells.some(fresh)}), so "
            "it has nothing to keep. Fine-tune it first: jpqd init drafts a recipe for that."
        )
    if cuts:
        families.of(network)
    if size.facts(network).precision == "INT8":
        raise UserError(f"model {source!r}: it is in INT8 already. Give what it was made of.")
    network.train(False)
    return Answering(source, kind, network, tokenizer)


def write(
    model: Answering, texts: Dataset, max_length: int, cache: Path, out: Path, progress: Progress
) -> Path:
    """Write the texts and the model's answers, which the cache may have; return the table."""
    if model.kind.vectors:
        return files.write_text(out / TEXTS, "".join(map(_line, texts)))
    content = [_VERSION, sources.model_identity(model.source), max_length, texts.to_dict()]
    entry = cache / f"answers-{seals.digest(content)[:16]}"
    cache.mkdir(parents=True, exist_ok=True)
    with FileLock(entry.with_suffix(".lock")):
        if not cached.is_whole(entry, progress):
            progress.say(f"the model answers {len(texts):,} texts: its answers are the labels")
            lines = _lines(texts, _answers(model, texts, max_length))
            cached.put(entry, lambda folder: _put(folder / FILE, lines))
    return files.write_text(out / FILE, (entry / FILE).read_text(encoding="utf-8"))


def _put(path: Path, lines: str) -> None:
    path.write_text(lines, encoding="utf-8")


def _answers(model: Answering, texts: Dataset, max_length: int) -> list[Any]:
    """Return a class's name for each text, or a number."""
    columns = [[str(cell) for cell in texts[name][:]] for name in texts.column_names]
    given = model.tokenizer(*columns, truncation=True, max_length=max_length)
    names = [name for name in ("input_ids", "token_type_ids") if name in given]
    rows = Dataset.from_dict(
        {name: given[name] for name in names}
        | {
            "labels": [model.kind.no_label(len(ids)) for ids in given["input_ids"]],
            "length": [len(ids) for ids in given["input_ids"]],
            "row": list(range(len(texts))),
        }
    )
    collate = batching.collator(model.tokenizer, model.kind)
    logits = evaluation.predict(model.network, rows, model.kind, collate, evaluation.BATCH).logits
    if model.kind.is_number:
        return [float(value) for value in logits[:, 0]]
    return [model.kind.names[best] for best in logits.argmax(1)]


def _lines(texts: Dataset, answers: list[Any]) -> str:
    pairs = zip(texts, answers, strict=True)
    return "".join(_line({**row, OWN_ANSWER: answer}) for row, answer in pairs)


def _line(row: dict[str, Any]) -> str:
    return json.dumps(row, ensure_ascii=False) + "\n"
