"""Models from random weights: their sizes, and tokenizers trained on the task's own text."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import AutoConfig, PreTrainedTokenizerFast
from transformers.models.bert.tokenization_bert import BertTokenizer

from jpqd.data import splits
from jpqd.recipe.task import NewModel, Task
from jpqd.tasks import Kind

_SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
_START, _END, _PAD = "<s>", "</s>", "<pad>"
_LONGEST = {"bert": 512, "qwen3": 2048}


def config(new: NewModel, kind: Kind, vocabulary: int) -> Any:
    sizes = new.model_dump(exclude={"new", "vocab_size"})
    more = _decoder(new) if new.new == "qwen3" else {}
    return AutoConfig.for_model(
        new.new, vocab_size=vocabulary, pad_token_id=0, **sizes, **more, **kind.head_config()
    )


def _decoder(new: NewModel) -> dict[str, Any]:
    heads = new.num_attention_heads
    return {
        "num_key_value_heads": heads,
        "head_dim": new.hidden_size // heads,
        "max_position_embeddings": _LONGEST["qwen3"],
        "tie_word_embeddings": True,
        "bos_token_id": 1,
        "eos_token_id": 2,
    }


def tokenizer(new: NewModel, task: Task, cache: Path) -> PreTrainedTokenizerFast:
    """Train a tokenizer on train's own text: the same for the same text."""
    return _MAKERS[new.new](new, splits.train_texts(task, cache))


def _word_pieces(new: NewModel, texts: list[str]) -> PreTrainedTokenizerFast:
    """WordPiece, lower case."""
    core = Tokenizer(models.WordPiece(unk_token=_SPECIAL[1]))
    core.normalizer = normalizers.BertNormalizer(lowercase=True)
    core.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    core.decoder = decoders.WordPiece()
    # Without these in the list, the trainer numbers the pieces in the order of a random hash map.
    pieces = [
        f"##{letter}"
        for letter in sorted({letter for text in texts for letter in text.lower()})
        if letter.strip()
    ]
    trainer = trainers.WordPieceTrainer(
        vocab_size=new.vocab_size, special_tokens=[*_SPECIAL, *pieces], show_progress=False
    )
    core.train_from_iterator(texts, trainer)
    return BertTokenizer(vocab=core.get_vocab(), model_max_length=_LONGEST["bert"])


def _byte_pairs(new: NewModel, texts: list[str]) -> PreTrainedTokenizerFast:
    """Byte-level BPE, which knows every text."""
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=new.vocab_size,
        special_tokens=[_PAD, _START, _END],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    core.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=core, bos_token=_START, eos_token=_END, pad_token=_PAD,
        model_max_length=_LONGEST["qwen3"], model_input_names=["input_ids", "attention_mask"],
    )  # fmt: skip


_MAKERS: dict[str, Callable[[NewModel, list[str]], PreTrainedTokenizerFast]] = {
    "bert": _word_pieces,
    "qwen3": _byte_pairs,
}
