"""The rows of a benchmark: the run's task, a file of texts, or random tokens."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from jpqd.core import seals
from jpqd.core.errors import SourceError, UserError
from jpqd.core.names import PREDICTIONS
from jpqd.core.progress import Progress
from jpqd.model import pooling
from jpqd.recipe.task import Task
from jpqd.scores import predictions
from runtime_bench.job.workload import Rows, Truth

if TYPE_CHECKING:
    from datasets import Dataset

    from jpqd.tasks import Kind

RANDOM_ROWS = 256
_LONGEST = 512


def vocabulary(folder: Path) -> str | None:
    """Return what tells a model's vocabulary from another's; None where there is none."""
    try:
        content = json.loads((folder / "tokenizer.json").read_text())
        return seals.digest([content["model"], content["added_tokens"]])
    except (OSError, ValueError, KeyError):
        return None


def of_task(task: Task, folder: Path, cache: Path, progress: Progress) -> Rows:
    """Return the rows of the reported split, tokenized as the model was trained to read them."""
    from jpqd.data import splits

    tokenizer = tokenizer_of(folder, "the rows of the task")
    prepared = splits.prepare(task, tokenizer, cache, progress)
    source = f"{task.name}, {task.report_on}"
    split = prepared.split(task.report_on)
    padding = int(tokenizer.pad_token_id or 0)  # prompts of language models have none
    found = of_split(split, prepared.kind, padding, source)
    kept = folder / PREDICTIONS
    if prepared.kind.follows and kept.is_file():
        labels = predictions.load(kept)[0].labels  # with the answers of the recipe's model
        if len(labels) == len(split):
            return replace(found, truth=Truth(prepared.kind, list(labels)))
    return found


def of_split(split: Dataset, kind: Kind, padding: int, source: str) -> Rows:
    """Return the tokenized rows of a split, with their labels."""
    table = split.with_format("numpy")
    ids = [np.asarray(row, np.int64) for row in table["input_ids"]]
    paired = "token_type_ids" in split.column_names
    types = (
        [np.asarray(row, np.int64) for row in table["token_type_ids"]] if paired else _zeros(ids)
    )
    return Rows(ids, types, padding, source, Truth(kind, split["labels"][:]))


def of_texts(texts: Path, folder: Path) -> Rows:
    """Read rows from a file with one text in each line."""
    try:
        lines = texts.read_text(encoding="utf-8-sig").split("\n")
        lines = [line.strip() for line in lines if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"--texts {texts} cannot be read: {error}") from error
    if not lines:
        raise UserError(f"--texts {texts} is empty. Write one text in each line.")
    tokenizer = tokenizer_of(folder, "--texts")
    longest = min(tokenizer.model_max_length, _LONGEST)
    lines = [tokenizer.prompt + line for line in lines]
    tokens = tokenizer(lines, truncation=True, max_length=longest)["input_ids"]
    ids = [np.asarray(row, np.int64) for row in tokens]
    return Rows(ids, _zeros(ids), int(tokenizer.pad_token_id or 0), str(texts))


def tokenizer_of(folder: Path, what: str) -> Any:
    """Load the tokenizer that lies beside a model or an IR."""
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        tokenizer.prompt = pooling.prompt(folder)
        return tokenizer
    except (OSError, ValueError, KeyError) as error:
        raise SourceError(
            f"{folder}: {what} needs a tokenizer, and none can be loaded here: {error}"
        ) from error


def random(folder: Path, length: int, seed: int) -> Rows:
    """Draw tokens from the vocabulary; the speed of a fixed length depends on nothing else."""
    try:
        words = int(json.loads((folder / "config.json").read_text())["vocab_size"])
    except (OSError, ValueError, KeyError) as error:
        raise UserError(
            f"{folder}: random tokens need vocab_size from a config.json, and there is none. "
            "Copy the model's config.json into it, or give a folder that has one."
        ) from error
    drawn = np.random.default_rng(seed).integers(0, words, (RANDOM_ROWS, length))
    ids = list(drawn.astype(np.int64))
    return Rows(ids, _zeros(ids), 0, f"random tokens of {words}")


def _zeros(ids: list[np.ndarray]) -> list[np.ndarray]:
    return [np.zeros_like(row) for row in ids]
