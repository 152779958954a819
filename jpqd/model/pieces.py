"""A tokenizer with fewer pieces. Its ids keep their order, and every text keeps a reading."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer, PreTrainedTokenizerBase

from jpqd.core import files
from jpqd.core.errors import RunError, UserError

_FILE, _CONFIG = "tokenizer.json", "tokenizer_config.json"
_NO_IDS = ("truncation", "padding")
"""Parts that the last call of a tokenizer leaves, and that a loader may fill in."""

Content = dict[str, Any]


def content(tokenizer: PreTrainedTokenizerBase) -> Content:
    """Return a tokenizer as `tokenizer.json` has it."""
    found: Content = json.loads(tokenizer.backend_tokenizer.to_str())
    return found


def check(tokenizer: PreTrainedTokenizerBase, where: str) -> None:
    """Refuse a tokenizer whose pieces cannot be chosen."""
    kind = content(tokenizer)["model"]["type"] if tokenizer.is_fast else "another library's"
    if kind not in _NEEDED:
        raise UserError(
            f"{where}: the tokenizer is {kind}, and pieces can be chosen for "
            f"{', '.join(_NEEDED)} of the library `tokenizers`. Leave this stage out."
        )


def kept(tokenizer: PreTrainedTokenizerBase, used: Collection[int]) -> list[int]:
    """List the ids that stay: those in use, special ones, and those that rare words fall into."""
    given = content(tokenizer)
    stay = {*used, *(token["id"] for token in given["added_tokens"])}
    stay |= _NEEDED[given["model"]["type"]](given["model"], stay)
    return sorted(stay & set(tokenizer.get_vocab().values()))


def _for_wordpiece(model: Content, used: set[int]) -> set[int]:
    """Letters, also inside a word, and pieces with a letter that is no piece itself."""
    vocab, prefix = model["vocab"], model["continuing_subword_prefix"]
    letters = {piece for piece in vocab if len(_body(piece, prefix)) == 1}

    def has_all(piece: str) -> bool:
        body = _body(piece, prefix)
        spelled = [piece.removesuffix(body[1:]), *(prefix + letter for letter in body[1:])]
        return letters.issuperset(spelled)

    always = {*letters, model["unk_token"]}
    return {vocab[piece] for piece in vocab if piece in always or not has_all(piece)}


def _body(piece: str, prefix: str) -> str:
    """Return a piece without the mark that it continues a word."""
    return piece.removeprefix(prefix) or piece


def _for_bpe(model: Content, used: set[int]) -> set[int]:
    """Symbols that no merge makes, and the parts of the pieces in use, down to those."""
    vocab, made = model["vocab"], _merges(model)
    names = {number: piece for piece, number in vocab.items()}
    stay = {piece for piece in vocab if piece not in made}
    waiting = [names[number] for number in used if number in names]
    while waiting:
        piece = waiting.pop()
        if piece not in stay:
            stay.add(piece)
            waiting += [part for parts in made[piece] for part in parts]
    return {vocab[piece] for piece in stay}


def _merges(model: Content) -> dict[str, list[tuple[str, str]]]:
    """Map a piece to the pairs that become it."""
    made: dict[str, list[tuple[str, str]]] = {}
    for left, right in model["merges"]:
        made.setdefault(_joined(model, left, right), []).append((left, right))
    return made


def _joined(model: Content, left: str, right: str) -> str:
    return left + right.removeprefix(model["continuing_subword_prefix"] or "")


def _for_unigram(model: Content, used: set[int]) -> set[int]:
    """Letters, bytes, and pieces with a letter that is no piece itself.

    The piece with the lowest score stays too: an unknown letter costs that score and a bit.
    """
    vocab = model["vocab"]
    letters = {piece for piece, _ in vocab if len(piece) == 1}
    lowest = min(range(len(vocab)), key=lambda number: vocab[number][1])
    needed = {n for n, (piece, _) in enumerate(vocab) if not letters.issuperset(piece)}
    short = {n for n, (piece, _) in enumerate(vocab) if len(piece) == 1 or _is_byte(piece)}
    return {lowest, model["unk_id"], *needed, *short} - {None}


def _is_byte(piece: str) -> bool:
    return len(piece) == len("<0x00>") and piece.startswith("<0x")


_NEEDED: dict[str, Callable[[Content, set[int]], set[int]]] = {
    "WordPiece": _for_wordpiece,
    "BPE": _for_bpe,
    "Unigram": _for_unigram,
}
"""The ids without which a text would lose its reading, for each kind of tokenizer."""


def renumbered(given: Content, new: dict[int, int]) -> Content:
    """Return a tokenizer with these pieces only; `new` is the number that each of them gets."""
    model = given["model"]
    added = [{**token, "id": new[token["id"]]} for token in given["added_tokens"]]
    return {
        **given,
        "model": _unigram(model, new) if model["type"] == "Unigram" else _with_names(model, new),
        "added_tokens": added,
        "post_processor": _processor(given["post_processor"], new),
        **dict.fromkeys(_NO_IDS),
    }


def _unigram(model: Content, new: dict[int, int]) -> Content:
    vocab = [scored for number, scored in enumerate(model["vocab"]) if number in new]
    return {**model, "vocab": vocab, "unk_id": new.get(model["unk_id"])}


def _with_names(model: Content, new: dict[int, int]) -> Content:
    """Leave the pieces of a WordPiece or a BPE, and the merges between pieces that stay."""
    vocab = {piece: new[number] for piece, number in model["vocab"].items() if number in new}
    if "merges" not in model:
        return {**model, "vocab": vocab}
    merges = [
        [left, right]
        for left, right in model["merges"]
        if {left, right, _joined(model, left, right)} <= vocab.keys()
    ]
    return {**model, "vocab": vocab, "merges": merges}


def _processor(processor: Any, new: dict[int, int]) -> Any:
    """Renumber what is put around a text: each kind of processor writes ids its own way."""
    if not isinstance(processor, dict):
        return processor
    found = dict(processor)
    for name in {"cls", "sep"} & found.keys():  # BERT's and RoBERTa's own
        token, number = found[name]
        found[name] = [token, new[number]]
    if "special_tokens" in found:
        found["special_tokens"] = {
            token: {**entry, "ids": [new[number] for number in entry["ids"]]}
            for token, entry in found["special_tokens"].items()
        }
    if "processors" in found:
        found["processors"] = [_processor(inner, new) for inner in found["processors"]]
    return found


def write(given: Content, folder: Path) -> None:
    """Replace the tokenizer in a folder where `save_pretrained` wrote the one with all pieces."""
    files.write_json(folder / _FILE, given)
    config = json.loads((folder / _CONFIG).read_text())
    if config.pop("added_tokens_decoder", None) is not None:  # tokenizer.json has them, renumbered
        files.write_json(folder / _CONFIG, config)
    read = content(AutoTokenizer.from_pretrained(folder, trust_remote_code=False))
    if differing := list(_differing(read, given)):
        raise RunError(
            f"{folder.name}: the tokenizer with fewer pieces is read back with another "
            f"{' and '.join(differing)}, so it cannot be trusted. Leave this stage out."
        )


def _differing(one: Content, other: Content) -> Iterator[str]:
    for part in ("model", "added_tokens", "normalizer", "pre_tokenizer", "post_processor"):
        if one[part] != other[part]:
            yield part
