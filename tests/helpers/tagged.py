"""Sentences with tagged names, which a tiny model learns in seconds."""

import json
import random
from pathlib import Path

PEOPLE = ["Anna", "Bruno", "Carla Rossi", "Dev Patel", "Eva"]
PLACES = ["Paris", "New York", "Oslo", "Lima"]
FRAMES = ["{p} lives in {l} .", "In {l} it rains .", "{p} met {q} .", "Nobody came .",
          "From {l} to {m} with {p} !"]  # fmt: skip

Row = dict[str, list[str]]


def rows(count: int, seed: int = 0) -> list[Row]:
    chance = random.Random(seed)
    return [_row(chance) for _ in range(count)]


def _row(chance: random.Random) -> Row:
    names = {"p": "person", "q": "person", "l": "place", "m": "place"}
    tokens: list[str] = []
    tags: list[str] = []
    for word in chance.choice(FRAMES).split():
        kind = names.get(word.strip("{}")) if word.startswith("{") else None
        chosen = chance.choice(PEOPLE if kind == "person" else PLACES) if kind else word
        for place, part in enumerate(chosen.split()):
            tokens.append(part)
            tags.append(f"{'I' if place else 'B'}-{kind}" if kind else "O")
    return {"tokens": tokens, "tags": tags}


def write(folder: Path, train: int = 240, validation: int = 48) -> Path:
    """A file of JSON lines for train, a CoNLL file for validation."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps(row) for row in rows(train)]
    (folder / "train.jsonl").write_text("\n".join(lines) + "\n")
    texts = ["\n".join(f"{word}\t{tag}" for word, tag in zip(*row.values(), strict=True))
             for row in rows(validation, seed=1)]  # fmt: skip
    (folder / "validation.conll").write_text("\n\n".join(texts) + "\n")
    return folder
