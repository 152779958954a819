"""A tiny embedding model in a folder of sentence-transformers' kind, and texts for it."""

from __future__ import annotations

import csv
import random
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModel, PreTrainedTokenizerFast

from jpqd.data import corpus
from jpqd.model import loading, pooling
from jpqd.model.pooling import Pooling
from jpqd.recipe.task import NewModel, Task
from tests.helpers import small

WORDS = 400


def write_model(
    folder: Path, family: str = "bert", how: Pooling | None = None, **more: Any
) -> Path:
    """Random weights, as large as trained ones, so that texts get different vectors."""
    torch.manual_seed(0)
    task = Task(name="tiny", dataset="builtin:reviews")
    new = NewModel(new="bert", vocab_size=WORDS)
    words = loading.load_tokenizer(new, task, folder.parent / "cache")
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=words.backend_tokenizer, pad_token="[PAD]", cls_token="[CLS]",
        sep_token="[SEP]", unk_token="[UNK]", mask_token="[MASK]", model_max_length=32,
        model_input_names=["input_ids", "attention_mask"],
    )  # fmt: skip
    # sentence-transformers calibrates on texts of 384 tokens.
    sizes: dict[str, Any] = {**small.FAMILIES[family], "max_position_embeddings": 512, **more}
    config = AutoConfig.for_model(family, vocab_size=len(words), **sizes)
    network = AutoModel.from_config(config).float()
    for weight in network.parameters():
        if weight.dim() > 1:
            weight.data.mul_(4)
    network.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    if how is not None:
        pooling.save(how, folder, 32)
    return folder


def texts(count: int = 200) -> list[str]:
    return [text for text, _ in corpus.reviews("train")[:count]]


def write_pairs(folder: Path, rows: int = 96) -> Path:
    """Pairs with a score: the share of their words that both have."""
    folder.mkdir(parents=True, exist_ok=True)
    draw = random.Random(0)
    for split, count in (("train", rows), ("validation", 64)):
        with (folder / f"{split}.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["one", "two", "score"])
            for _ in range(count):
                one, two = draw.sample(texts(), 2)
                both, either = (set(one.split()) & set(two.split()), set((one + two).split()))
                writer.writerow([one, two, round(len(both) / len(either), 4)])
    return folder
