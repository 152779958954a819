"""Slips in texts: the same for every model, and from run to run.

A word that slips at 5% of the words slips at 10% and 20% in the same way.
"""

from __future__ import annotations

import itertools
import random
import re
from collections.abc import Callable, Sequence

from jpqd.analysis import hangul

_ROWS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
_MARKS = ".,!?;:"


def noisy(text: str, share: float, seed: int) -> str:
    """Return the text with slips in about this share of its words."""
    words = re.split(r"(\s+)", text)
    chance = random.Random(f"{seed} {text}")  # noqa: S311 (no secret)
    for place in range(0, len(words), 2):
        slips, one = chance.random(), random.Random(chance.random())  # noqa: S311
        if slips < share and words[place]:
            words[place] = _slipped(words[place], one)
            if hangul.is_there(words[place]) and place + 1 < len(words) and one.random() < _JOINED:
                words[place + 1] = ""
    return "".join(words)


def noisy_words(words: Sequence[str], share: float, seed: int) -> list[str]:
    """Return as many words, with slips in about this share of them."""
    chance = random.Random(f"{seed} {' '.join(words)}")  # noqa: S311 (no secret)
    found = []
    for word in words:
        slips, one = chance.random(), random.Random(chance.random())  # noqa: S311
        found.append(_slipped(word, one) if slips < share else word)
    return found


_JOINED = 0.25
"""The share of Korean words with a slip that lose the space after them."""


def _slipped(word: str, chance: random.Random) -> str:
    slips = list(_SLIPS)
    chance.shuffle(slips)
    for slip in slips:
        changed = slip(word, chance)
        if changed != word:
            return changed
    return word


def _keyboard(word: str, chance: random.Random) -> str:
    """Hit the key beside a letter."""
    if hangul.is_there(word):
        return hangul.slipped(word, chance)
    places = [n for n, letter in enumerate(word) if letter.lower() in _BESIDE]
    if not places:
        return word
    place = chance.choice(places)
    hit = chance.choice(_BESIDE[word[place].lower()])
    return word[:place] + (hit.upper() if word[place].isupper() else hit) + word[place + 1 :]


def _swap(word: str, chance: random.Random) -> str:
    pairs = itertools.pairwise(word)
    places = [n for n, (a, b) in enumerate(pairs) if a != b and (a + b).isalpha()]
    if not places:
        return word
    place = chance.choice(places)
    return word[:place] + word[place + 1] + word[place] + word[place + 2 :]


def _drop(word: str, chance: random.Random) -> str:
    places = _letters(word)
    if len(places) < 2:
        return word
    place = chance.choice(places)
    return word[:place] + word[place + 1 :]


def _double(word: str, chance: random.Random) -> str:
    places = _letters(word)
    if not places:
        return word
    place = chance.choice(places)
    return word[: place + 1] + word[place:]


def _case(word: str, chance: random.Random) -> str:
    return word.lower() if word.isupper() else word.upper()


def _punctuation(word: str, chance: random.Random) -> str:
    """Drop the mark at the end of a word, or add one."""
    return word[:-1] if len(word) > 1 and word[-1] in _MARKS else word + chance.choice(_MARKS)


def _letters(word: str) -> list[int]:
    return [place for place, letter in enumerate(word) if letter.isalpha()]


def _beside() -> dict[str, str]:
    """Return the keys beside each key, in its row and in those above and below."""
    found: dict[str, str] = {}
    for number, row in enumerate(_ROWS):
        others = (*_ROWS[max(number - 1, 0) : number], *_ROWS[number + 1 : number + 2])
        for place, key in enumerate(row):
            beside = row[max(place - 1, 0) : place] + row[place + 1 : place + 2]
            found[key] = beside + "".join(o[max(place - 1, 0) : place + 2] for o in others)
    return found


_BESIDE = _beside()
_SLIPS: tuple[Callable[[str, random.Random], str], ...] = (
    _keyboard, _swap, _drop, _double, _case, _punctuation,
)  # fmt: skip
