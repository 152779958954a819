"""Pieces are left out of a vocabulary, and every text still reads."""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass
from pathlib import Path

import openvino as ov
import pytest
import torch
from openvino_tokenizers import convert_tokenizer
from tokenizers import Tokenizer
from transformers import (
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
)

from jpqd.core.errors import RunError, UserError
from jpqd.data import corpus
from jpqd.model import families, loading, pieces, table
from tests.helpers import small, spelled

TEXTS = [text for text, _ in corpus.reviews("train")[:40]]
OTHER = [
    *(text for text, _ in corpus.reviews("validation")[:200]),
    "zebras quizzed 17 xylophonists", "ABC-123 (don't; stop!)", "na\u00efve caf\u00e9",
    "\u65e5\u672c\u8a9e is \U0001f642 new", "##ing # \u2581x \u0120y <0x41>",
]  # fmt: skip


@dataclass
class Trimmed:
    """A model and its tokenizer before and after."""

    folder: Path
    kept: list[int]
    before: PreTrainedTokenizerBase
    after: PreTrainedTokenizerBase
    network: PreTrainedModel
    smaller: PreTrainedModel


def trim(family: str, folder: Path) -> Trimmed:
    start = spelled.write(family, folder)
    before, network = loading.tokenizer_from(start), loading.load(start)
    smaller, out = copy.deepcopy(network), folder / "trimmed"
    used = {number for ids in before(TEXTS)["input_ids"] for number in ids}
    kept = pieces.kept(before, {*used, *table.fixed(network)})
    table.keep_rows(smaller, kept, "here")
    loading.save(smaller, before, out)
    new = {old: number for number, old in enumerate(kept)}
    pieces.write(pieces.renumbered(pieces.content(before), new), out)
    return Trimmed(out, kept, before, loading.tokenizer_from(out), network, loading.load(out))


@pytest.fixture(scope="module", params=spelled.TOKENIZERS)
def trimmed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Trimmed:
    return trim(request.param, tmp_path_factory.mktemp(request.param))


def read(tokenizer: PreTrainedTokenizerBase, text: str) -> list[str]:
    return tokenizer.convert_ids_to_tokens(tokenizer(text)["input_ids"])


def test_texts_of_train_read_as_the_same_pieces(trimmed: Trimmed) -> None:
    assert len(trimmed.after) == len(trimmed.kept) < 0.85 * len(trimmed.before)
    for text in TEXTS:
        assert read(trimmed.after, text) == read(trimmed.before, text)


def test_new_words_fall_to_pieces_without_more_unknown_ones(trimmed: Trimmed) -> None:
    differing = 0
    for text in OTHER:
        now, before = read(trimmed.after, text), read(trimmed.before, text)
        unknown = trimmed.before.unk_token
        assert now.count(unknown) == before.count(unknown), text
        assert "".join(now).replace("##", "") == "".join(before).replace("##", "")
        differing += now != before
    assert differing > 50


def test_ids_keep_their_order_and_special_tokens_their_names(trimmed: Trimmed) -> None:
    names = trimmed.before.convert_ids_to_tokens(trimmed.kept)
    assert trimmed.after.convert_ids_to_tokens(list(range(len(names)))) == names
    assert trimmed.after.all_special_tokens == trimmed.before.all_special_tokens
    assert set(trimmed.after.all_special_ids) <= set(range(len(names)))
    pair = trimmed.after("good", "bad")["input_ids"]
    old = trimmed.before("good", "bad")["input_ids"]
    assert [trimmed.kept[number] for number in pair] == old


def test_every_reader_of_the_folder_gives_the_same_ids(trimmed: Trimmed) -> None:
    texts = [*TEXTS, *OTHER[:200]]
    expected = [trimmed.after(text)["input_ids"] for text in texts]
    loaded = AutoTokenizer.from_pretrained(trimmed.folder)
    core = Tokenizer.from_file(str(trimmed.folder / "tokenizer.json"))
    assert loaded(texts)["input_ids"] == expected
    assert [core.encode(text).ids for text in texts] == expected
    compiled = ov.compile_model(convert_tokenizer(loaded), "CPU")
    for text, ids in zip(texts, expected, strict=True):
        assert compiled([text])["input_ids"][0].tolist() == ids
    names = {path.name for path in trimmed.folder.iterdir()}
    assert names == {
        "config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"
    }  # fmt: skip


@torch.no_grad()
def logits(network: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> torch.Tensor:
    batch = tokenizer(TEXTS, padding=True, return_tensors="pt")
    found: torch.Tensor = network.train(False)(**batch).logits
    return found


def test_a_smaller_table_gives_the_same_logits(trimmed: Trimmed) -> None:
    smaller = logits(trimmed.smaller, trimmed.after)
    assert torch.equal(smaller, logits(trimmed.network, trimmed.before))
    assert trimmed.smaller.config.vocab_size == len(trimmed.kept)
    assert trimmed.smaller.config.pad_token_id == trimmed.after.pad_token_id


def test_the_scales_of_a_quantized_table_are_sliced_with_it(trimmed: Trimmed) -> None:
    network = copy.deepcopy(trimmed.network)
    small.quantize(network)
    expected = logits(network, trimmed.before)
    table.keep_rows(network, trimmed.kept, "here")
    assert torch.equal(logits(network, trimmed.after), expected)
    again = trimmed.folder.parent / "quantized"
    loading.save(network, trimmed.after, again)
    assert torch.equal(logits(loading.load(again), trimmed.after), expected)


def test_padding_learns_nothing_and_positions_count_from_its_row(trimmed: Trimmed) -> None:
    words = trimmed.smaller.get_input_embeddings()
    assert words.padding_idx == trimmed.after.pad_token_id
    assert families.padding(trimmed.smaller) in (None, trimmed.after.pad_token_id)


def test_a_piece_whose_letters_are_no_pieces_stays(tmp_path: Path) -> None:
    before = spelled.TOKENIZERS["bert"](tmp_path)
    content = pieces.content(before)
    vocab = content["model"]["vocab"]
    vocab["na\u00efve"] = len(vocab)
    content["model"]["vocab"] = vocab
    odd = PreTrainedTokenizerFast(tokenizer_object=Tokenizer.from_str(json.dumps(content)))
    assert vocab["na\u00efve"] in pieces.kept(odd, [])
    assert vocab["film"] not in pieces.kept(odd, [])


def test_the_score_of_an_unknown_letter_stays(tmp_path: Path) -> None:
    model = pieces.content(spelled.TOKENIZERS["xlm-roberta"](tmp_path))["model"]
    kept = pieces.kept(spelled.TOKENIZERS["xlm-roberta"](tmp_path), [])
    scores = [score for _, score in model["vocab"]]
    assert min(scores) == min(scores[number] for number in kept)


def test_another_kind_of_tokenizer_is_refused() -> None:
    content = {
        "version": "1.0",
        "model": {"type": "WordLevel", "vocab": {"a": 0}, "unk_token": "a"},
    }
    core = Tokenizer.from_str(json.dumps(content | {"added_tokens": []}))
    with pytest.raises(UserError, match="here: the tokenizer is WordLevel"):
        pieces.check(PreTrainedTokenizerFast(tokenizer_object=core), "here")


def test_a_tokenizer_that_is_read_back_otherwise_is_refused(tmp_path: Path) -> None:
    given = spelled.write("xlm-roberta", tmp_path)
    content = pieces.content(loading.tokenizer_from(given))
    content["model"]["unk_id"] = 5  # this class of transformers takes 3, whatever is written
    with pytest.raises(RunError, match="read back with another model"):
        pieces.write(content, given)
