"""Tiny models of every kind of tokenizer, trained on the built-in corpus."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerBase
from transformers.models.bert.tokenization_bert import BertTokenizer
from transformers.models.roberta.tokenization_roberta import RobertaTokenizer
from transformers.models.xlm_roberta.tokenization_xlm_roberta import XLMRobertaTokenizer

from jpqd.data import corpus
from jpqd.model import loading
from jpqd.recipe.task import NewModel, Task
from tests.helpers import small

_SPECIAL = ["<s>", "<pad>", "</s>", "<unk>"]
_LIKE_ROBERTA = {"pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2, "type_vocab_size": 1}


def _texts() -> Iterator[str]:
    yield from (text for text, _ in corpus.reviews("train")[:2000])


def _wordpiece(cache: Path) -> PreTrainedTokenizerBase:
    task = Task(name="tiny", dataset="builtin:reviews")
    new = loading.load_tokenizer(NewModel(new="bert", vocab_size=900), task, cache)
    # As in BERT's own vocabulary, the special tokens are not the first ones.
    unused = {"[PAD]": 0, **{f"[unused{number}]": number for number in range(1, 9)}}
    words = sorted(set(new.get_vocab()) - {"[PAD]"}, key=new.get_vocab().__getitem__)
    vocab = unused | {word: number for number, word in enumerate(words, len(unused))}
    return BertTokenizer(vocab=vocab, model_max_length=64)


def _bpe(_: Path) -> PreTrainedTokenizerBase:
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=900, special_tokens=_SPECIAL, initial_alphabet=alphabet, show_progress=False
    )
    core.train_from_iterator(_texts(), trainer)
    merges = [tuple(pair) for pair in _model(core)["merges"]]
    vocab = {**core.get_vocab(), "<mask>": core.get_vocab_size()}
    return RobertaTokenizer(vocab=vocab, merges=merges, model_max_length=64)


def _model(core: Tokenizer) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(core.to_str())["model"]
    return found


def _unigram(_: Path) -> PreTrainedTokenizerBase:
    core = Tokenizer(models.Unigram())
    core.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=900, special_tokens=_SPECIAL, unk_token="<unk>", show_progress=False
    )
    core.train_from_iterator(_texts(), trainer)
    vocab = [tuple(pair) for pair in _model(core)["vocab"]]
    return XLMRobertaTokenizer(vocab=[*vocab, ("<mask>", 0.0)], model_max_length=64)


TOKENIZERS: dict[str, Callable[[Path], PreTrainedTokenizerBase]] = {
    "bert": _wordpiece,
    "roberta": _bpe,
    "xlm-roberta": _unigram,
}


def write(family: str, folder: Path) -> Path:
    """A model with random weights and its tokenizer, as a hub has them."""
    tokenizer = TOKENIZERS[family](folder / "cache")
    more: dict[str, Any] = {} if family == "bert" else _LIKE_ROBERTA
    sizes = {**small.SIZES, "vocab_size": len(tokenizer), "max_position_embeddings": 70, **more}
    loading.save(small.of(family, **sizes), tokenizer, folder / family)
    return folder / family
