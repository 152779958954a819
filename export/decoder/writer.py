"""The continuation of a text by a decoder's IR, token by token, with OpenVINO alone."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import openvino as ov
from openvino import opset13
from tokenizers import Tokenizer

from export.decoder import given
from export.graph import last
from export.names import MODEL
from jpqd.core import artifact, room
from jpqd.core.errors import UserError

Turn = dict[str, str]
_NO_LETTER = "\ufffd"
"""The letter that stands for bytes which are none, or none yet."""


class Writer:
    """A decoder's folder, compiled for the CPU. It takes the likeliest token each time."""

    def __init__(self, folder: Path, new_tokens: int) -> None:
        artifact.open_sealed(folder)
        self.folder, self.new_tokens = folder, new_tokens
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.tokenizer.no_truncation()
        self.tokenizer.no_padding()  # which its owner may have saved with it
        try:
            graph = ov.Core().read_model(folder / MODEL)
            last.cut(graph, opset13.constant([-1]).output(0))
            model = ov.Core().compile_model(graph, "CPU")
        except RuntimeError as error:
            reason = str(error).strip().splitlines()[-1]
            raise UserError(f"{folder / MODEL} cannot be used: {reason}") from error
        self.names = {port.get_any_name() for port in model.inputs}
        self.request = model.create_infer_request()
        self.ends = _ends(folder)
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        self.room = room.tokens(config)

    def __call__(self, text: str, *, special: bool = True) -> Iterator[str]:
        """Yield the continuation of a text in pieces, as it comes."""
        ids = self.tokenizer.encode(text, add_special_tokens=special).ids
        if not ids:
            raise UserError("an empty text has no continuation for this model. Give some words.")
        if self.room and len(ids) > self.room:
            raise UserError(
                f"a text has {len(ids):,} tokens, and the model takes {self.room:,}. Cut it."
            )
        yield from pieces(self.tokenizer, self._tokens(ids))

    def _tokens(self, ids: Sequence[int]) -> Iterator[int]:
        """Yield tokens up to the text's end, the number that was asked for, or the model's room."""
        self.request.reset_state()
        read = 0
        for _ in range(self.new_tokens):
            if self.room and read + len(ids) > self.room:
                return
            token = self._next(ids, read)
            if token in self.ends:
                return
            yield token
            read, ids = read + len(ids), [token]

    def _next(self, ids: Sequence[int], read: int) -> int:
        """Return the likeliest token after these, of which so many more were read before."""
        inputs = given.tokens(ids, read)
        found = self.request.infer({name: inputs[name] for name in self.names})
        return int(found["logits"][0, -1].argmax())

    def prompt(self, turns: Sequence[Turn]) -> str:
        """Write a conversation as the model was taught to read it."""
        from jinja2 import TemplateError
        from transformers import AutoTokenizer

        tokenizer: Any = AutoTokenizer.from_pretrained(self.folder, trust_remote_code=False)
        if not tokenizer.chat_template:
            raise UserError(
                f"{self.folder}: its tokenizer has no chat template, so the model was not taught "
                "to talk. Leave --chat out."
            )
        try:
            text: str = tokenizer.apply_chat_template(
                list(turns), tokenize=False, add_generation_prompt=True
            )
        except TemplateError as error:
            raise UserError(
                f"{self.folder}: its tokenizer's chat template refuses this talk: {error}. Mend "
                "the template, or leave --chat out."
            ) from error
        return text


def pieces(tokenizer: Tokenizer, tokens: Iterable[int]) -> Iterator[str]:
    """Yield the text of tokens as it comes; a letter may take several of them.

    The stream of tokenizers' own raises where bytes make no letter, and keeps the last ones back.
    """
    before: list[int] = []
    new: list[int] = []
    rest = ""
    for token in tokens:
        new.append(token)
        rest = tokenizer.decode(before + new)[len(tokenizer.decode(before)) :]
        if rest and not rest.endswith(_NO_LETTER):
            yield rest
            before, new, rest = new, [], ""
    if rest:
        yield rest


def _ends(folder: Path) -> set[int]:
    """Return the tokens after which a text is over."""
    for name in ("generation_config.json", "config.json"):
        path = folder / name
        found = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        ends = found.get("eos_token_id")
        if ends is not None:
            return set(ends if isinstance(ends, list) else [ends])
    return set()
