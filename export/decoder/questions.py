"""Multiple choice: the answer that a decoder finds likeliest, and how often it is right."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.numpy import load_file, save_file
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from export.decoder.ask import SETTINGS, AskLast, openvino_last
from export.decoder.options import QuestionsOptions
from jpqd.core import artifact, files, room
from jpqd.core.errors import DataError, UserError
from jpqd.data import sources, tables
from jpqd.recipe.contracts import Context
from jpqd.scores import paired
from jpqd.scores.metrics import wilson

FILE, SPLIT = "questions.safetensors", "questions"
_COLUMNS = ("question", "choices", "answer")


@dataclass(frozen=True)
class Question:
    """A prompt, the tokens of each answer, and the number of the right one."""

    prompt: list[int]
    answers: list[list[int]]
    lengths: list[int]
    """The bytes of each answer."""
    right: int


def read(place: str, tokenizer: PreTrainedTokenizerBase, cache: Path) -> list[Question]:
    """Read a table with a question, its choices and the number of the right one in each row."""
    path = sources.local_file(place)
    table = tables.read(path, cache / "tables")
    for column in _COLUMNS:
        if column not in table.column_names:
            raise DataError(f"{path}: there is no column {column!r}. It needs {_COLUMNS}.")
    found = []
    for number, row in enumerate(table):
        question, choices, right = (row[column] for column in _COLUMNS)
        fits = isinstance(choices, list) and len(choices) > 1 and isinstance(right, int)
        fits = fits and all(isinstance(one, str) and one.strip() for one in choices)
        if not fits or not 0 <= right < len(choices) or not isinstance(question, str):
            raise DataError(
                f"{path}: row {number + 1} is no question with two or more texts to choose from "
                "and the number of the right one, counted from 0."
            )
        found.append(_question(question, choices, right, tokenizer))
    return found


def _refuse_too_long(asked: Sequence[Question], folder: Path, table: str) -> None:
    most = room.tokens(json.loads((folder / "config.json").read_text(encoding="utf-8")))
    for number, one in enumerate(asked if most else ()):
        longest = len(one.prompt) + max(map(len, one.answers)) - 1
        if most and longest > most:
            raise DataError(
                f"{table}: row {number + 1} has {longest:,} tokens with its longest answer, and "
                f"the model takes {most:,}. Leave it out."
            )


def _question(
    question: str, choices: list[str], right: int, tokenizer: PreTrainedTokenizerBase
) -> Question:
    start = [] if tokenizer.bos_token_id is None else [tokenizer.bos_token_id]
    text = f"Question: {question}\nAnswer:"
    prompt = _ids(text, tokenizer)
    answers = [_ids(f"{text} {choice}", tokenizer)[len(prompt) :] for choice in choices]
    lengths = [len(choice.encode()) for choice in choices]
    return Question([*start, *prompt], answers, lengths, right)


def _ids(text: str, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    ids: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
    return ids


def run(stage: QuestionsOptions, ctx: Context) -> dict[str, Any]:
    """Ask each IR; return its figures, and how it differs from the first one."""
    asked: list[Question] = []
    scores: dict[str, np.ndarray] = {}
    for name in stage.needs:
        folder = ctx.inputs[name]
        if artifact.open_sealed(folder).manifest.metrics.get("task") != "causal_lm":
            raise UserError(f"{ctx.stage}: {name} is no IR of a decoder, so it has no next token.")
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
        asked = read(stage.table, tokenizer, ctx.cache)
        _refuse_too_long(asked, folder, stage.table)
        ctx.progress.say(f"    {name}: {len(asked):,} questions")
        scores[name] = _kept(asked, folder, stage.settings, ctx.work / f"{name}.safetensors")
    right = np.array([one.right for one in asked])
    save_file({**scores, "right": right}, ctx.out / FILE)
    first, lengths = scores[stage.needs[0]], _lengths(asked)
    return {
        f"{name}, {SPLIT}": _figures(mine, right, lengths)
        | ({} if mine is first else _apart(mine, first, right))
        for name, mine in scores.items()
    }


def _kept(asked: Sequence[Question], folder: Path, settings: str, place: Path) -> np.ndarray:
    """Return the log-probability of each answer: found before a kill, or found now."""
    if not place.is_file():
        ask = openvino_last(folder, SETTINGS[settings])
        most = _most(asked)
        found = np.array([list(_padded(one, ask, most)) for one in asked])
        files.put(place, lambda partial: save_file({"scores": found}, partial))
    scores: np.ndarray = load_file(place)["scores"]
    return scores


def _apart(mine: np.ndarray, first: np.ndarray, right: np.ndarray) -> dict[str, Any]:
    won, lost = (x.argmax(1) == right for x in (mine, first))
    middle, low, high = paired.accuracy_difference(won[None], lost[None])
    return {
        "difference": middle,
        "difference_95": [low, high],
        "p": paired.mcnemar(won[None], lost[None]),
        "same_answer": float((mine.argmax(1) == first.argmax(1)).mean()),
    }


def _figures(scores: np.ndarray, right: np.ndarray, lengths: np.ndarray) -> dict[str, Any]:
    count = len(right)
    by_sum, by_byte = (float((x.argmax(1) == right).mean()) for x in (scores, scores / lengths))
    return {
        "n": count,
        "accuracy": by_sum,
        "accuracy_95": list(wilson(by_sum * count, count)),
        "accuracy_by_byte": by_byte,
        "accuracy_by_byte_95": list(wilson(by_byte * count, count)),
    }


def _most(questions: Sequence[Question]) -> int:
    return max(len(one.answers) for one in questions)


def _lengths(questions: Sequence[Question]) -> np.ndarray:
    found = np.ones((len(questions), _most(questions)))
    for row, one in zip(found, questions, strict=True):
        row[: len(one.lengths)] = np.maximum(one.lengths, 1)
    return found


def _padded(one: Question, ask: AskLast, most: int) -> Iterator[float]:
    """Yield the log-probability of each answer, and none for those that it does not have."""
    for answer in one.answers:
        logits = ask([*one.prompt, *answer[:-1]], len(answer)).double()
        chosen = logits.log_softmax(-1).gather(-1, torch.tensor(answer)[:, None])
        yield float(chosen.sum())
    for _ in range(most - len(one.answers)):
        yield -np.inf
