"""Label and probability of texts from an exported folder, without PyTorch or transformers."""

from __future__ import annotations

import json
import sys
from codecs import BOM_UTF8
from collections.abc import Iterable, Iterator, Sequence
from contextlib import nullcontext
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
from tokenizers import Encoding, Tokenizer

from export.decoder.writer import Writer
from export.names import MODEL
from jpqd import tasks
from jpqd.core import artifact, room, terminal
from jpqd.core.errors import UserError
from jpqd.core.progress import Progress
from jpqd.model import pooling

_ROWS = 32
"""The number of texts in a request, where the IR takes any number."""

Row = tuple[str, ...]
"""One text, or two."""


def writes(folder: Path) -> bool:
    """Return whether a folder's model continues texts instead of judging them."""
    _refuse_other(folder)
    artifact.open_sealed(folder)
    _json(folder / "config.json")
    return tasks.of_folder(folder).rows_are_text


def written(
    folder: Path, texts: Iterable[str], new_tokens: int, *, chat: bool, as_json: bool
) -> Iterator[str]:
    """Yield what a language model writes after each text, as it comes; each ends its line.

    A line of a file that cannot be continued costs no other line.
    """
    writer, turns = Writer(folder, new_tokens), []
    for number, text in enumerate(texts, 1):
        turns.append({"role": "user", "content": text})
        pieces = writer(writer.prompt(turns) if chat else text, special=not chat)
        parts = []
        try:
            for piece in pieces:
                parts.append(piece)
                if not as_json:
                    yield piece
        except UserError as error:
            if chat or isinstance(texts, list):
                raise
            Progress().warn(f"line {number}: {error}")
        whole = "".join(parts)
        turns.append({"role": "assistant", "content": whole})
        yield terminal.json_line({"text": text, "continuation": whole}) + "\n" if as_json else "\n"


class Predictor:
    """A folder that `jpqd export` wrote, compiled for the CPU."""

    def __init__(self, folder: Path) -> None:
        _refuse_other(folder)
        self.pairs = artifact.open_sealed(folder).manifest.metrics.get("texts") == 2
        self.config = _json(folder / "config.json")
        self.kind = tasks.of_folder(folder)
        self.pooling = pooling.read(folder) if self.kind.vectors else None
        self.prompt = pooling.prompt(folder) if self.kind.vectors else ""
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        try:
            self.model = ov.Core().compile_model(folder / MODEL, "CPU")
        except RuntimeError as error:
            reason = str(error).strip().splitlines()[-1]
            raise UserError(f"{folder / MODEL} cannot be used: {reason}") from error
        self.names = [port.get_any_name() for port in self.model.inputs]
        rows, tokens = self.model.input("input_ids").get_partial_shape()
        self.rows = rows.get_length() if rows.is_static else None
        self._set_length(tokens, _json(folder / "tokenizer_config.json"))

    def _set_length(self, tokens: ov.Dimension, settings: dict[str, Any]) -> None:
        """Truncate at the IR's length, and pad with the tokenizer's own token."""
        pad = settings.get("pad_token", "[PAD]")
        pad = pad["content"] if isinstance(pad, dict) else pad
        self.typed = "token_type_ids" in settings.get("model_input_names", ["token_type_ids"])
        fixed = tokens.get_length() if tokens.is_static else None
        self.tokenizer.enable_padding(
            pad_id=self.tokenizer.token_to_id(pad) or 0, pad_token=pad, length=fixed
        )
        longest = fixed or tokens.get_max_length()
        if longest <= 0:
            longest = min(settings.get("model_max_length", 512), self._positions())
        side = settings.get("truncation_side", "right")
        self.tokenizer.enable_truncation(int(longest), direction=side)

    def _positions(self) -> int:
        return room.tokens(self.config) or 512

    def __call__(self, rows: Iterable[Row]) -> Iterator[dict[str, Any]]:
        """Yield an answer for each row, in order, as soon as its request is full."""
        left = iter(rows)
        while request := list(islice(left, self.rows or _ROWS)):
            encoded = self._encoded(request)
            for row, encoding, logits in zip(request, encoded, self._logits(encoded), strict=False):
                yield self.kind.answer(row, encoding, logits)

    def arguments(self, texts: Sequence[str]) -> list[Row]:
        """Return a row for each text, or for each pair of texts."""
        if not self.pairs:
            return [(text,) for text in texts]
        if len(texts) % 2:
            raise UserError(f"this model reads two texts at a time, but {len(texts)} were given.")
        return list(zip(texts[::2], texts[1::2], strict=True))

    def lines(self, given: Iterable[str]) -> Iterator[Row]:
        """Yield a row for each line, an empty one too; a tab separates the texts of a pair."""
        for line in given:
            row = tuple(line.split("\t")) if self.pairs and line else (line,) * (1 + self.pairs)
            if len(row) != 1 + self.pairs:
                raise UserError(
                    f"this model reads two texts with a tab between them, not {line!r}."
                )
            yield row

    def _encoded(self, rows: Sequence[Row]) -> list[Encoding]:
        """Tokenize rows; repeat them where the IR takes a fixed number."""
        filled = [rows[index % len(rows)] for index in range(self.rows or len(rows))]
        if self.prompt:
            filled = [(self.prompt + row[0],) for row in filled]
        given = [self.kind.given(row, self.tokenizer) for row in filled]
        encodings: list[Encoding] = self.tokenizer.encode_batch(
            given, is_pretokenized=not self.kind.one_answer
        )
        return encodings

    def _logits(self, encoded: Sequence[Encoding]) -> np.ndarray:
        given = {
            "input_ids": [one.ids for one in encoded],
            "attention_mask": [one.attention_mask for one in encoded],
            "token_type_ids": [
                one.type_ids if self.typed else [0] * len(one.ids) for one in encoded
            ],
        }
        arrays = {name: np.array(values, dtype=np.int64) for name, values in given.items()}
        answers = self.model({name: arrays[name] for name in self.names})[self.kind.output]
        if self.pooling:
            answers = self.pooling.vectors(answers, arrays["attention_mask"])
        copy: np.ndarray = answers.copy()
        return copy

    def line(self, answer: dict[str, Any], every: bool = False) -> str:
        """Write an answer for a person, followed by the text."""
        text = answer["text"] if isinstance(answer["text"], str) else " / ".join(answer["text"])
        shares = answer.get("probabilities", {}) if every else {}
        ordered = sorted(shares.items(), key=lambda share: -share[1])
        told = ", ".join(f"{label} {share:.4f}" for label, share in ordered)
        return f"{told or self.kind.line(answer)}\t{text}"


def lines(file: Path | None, progress: Progress) -> Iterator[str]:
    """Yield the lines of a file or of standard input. One that is not UTF-8 costs no other line."""
    try:
        with file.open("rb") if file else nullcontext(sys.stdin.buffer) as source:
            for number, line in enumerate(source, 1):
                own = line.removeprefix(BOM_UTF8 if number == 1 else b"").rstrip(b"\r\n")
                yield _decoded(own, f"line {number}", progress)
    except OSError as error:
        raise UserError(f"--file {file} cannot be read: {error.strerror}.") from error


def arguments(texts: Sequence[str], progress: Progress) -> list[str]:
    """Read texts of the command line, in which bytes that are not UTF-8 came as surrogates."""
    return [
        _decoded(text.encode("utf-8", "surrogateescape"), f"text {number}", progress)
        for number, text in enumerate(texts, 1)
    ]


def _decoded(own: bytes, what: str, progress: Progress) -> str:
    text = own.decode("utf-8", "replace")
    if text.encode() != own:
        progress.warn(f"{what} is not UTF-8: what cannot be read became \ufffd")
    return text


def _refuse_other(folder: Path) -> None:
    for name in (MODEL, "config.json", "tokenizer.json", "tokenizer_config.json", "manifest.json"):
        if not (folder / name).is_file():
            raise UserError(
                f"{folder}: there is no {name}, so it is not a folder that `jpqd export --ir` "
                "wrote (with the layout `folder`)."
            )


def _json(path: Path) -> dict[str, Any]:
    try:
        value: dict[str, Any] = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read: {error}") from error
    return value
