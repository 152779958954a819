"""An attack that replaces words: the most important first, by their neighbours among embeddings.

Neighbours often mean something like the word, and sometimes its opposite. So a text that changes
the answer may deserve another one: compare models by it, and do not read it alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

_MOST_CHANGED = 0.3
"""The largest share of words that is replaced."""
_WORD = re.compile(r"[^\W\d_]+")
_BEGINS = ("▁", "Ġ")
_ENDS = ("ing", "ed", "ly", "est", "er", "s")
Ask = Callable[[Sequence[str]], np.ndarray]
"""A function from texts to the probability of the right answer, less that of the best other."""


@dataclass(frozen=True)
class Attacked:
    """A text after the attack."""

    text: str
    fooled: bool
    queries: int
    changed: float
    """The share of the words that were replaced."""


@dataclass(frozen=True)
class Substitutes:
    """Words with their nearest neighbours of the same form."""

    words: Sequence[str]
    vectors: np.ndarray
    """[words, size], each of length 1."""
    count: int = 8
    places: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.places.update({word: place for place, word in enumerate(self.words)})

    def of(self, word: str) -> list[str]:
        place = self.places.get(word.lower())
        if place is None or word.lower() in ENGLISH_STOP_WORDS:
            return []
        near = np.argsort(-(self.vectors @ self.vectors[place]), kind="stable")
        found = (self.words[other] for other in near[1 : 10 * self.count])
        kept = [
            one
            for one in found
            if _form(one) == _form(word.lower()) and one not in ENGLISH_STOP_WORDS
        ]
        return [_cased(one, word) for one in kept[: self.count]]


def whole_words(pieces: Sequence[str]) -> dict[str, int]:
    """Return the pieces that begin a word, without their mark, and their places.

    Where no piece has a mark for a beginning, those that go on have one: ##ing.
    """
    marked = any(piece[:1] in _BEGINS for piece in pieces)
    found: dict[str, int] = {}
    for place, piece in enumerate(pieces):
        if not marked or piece[:1] in _BEGINS:
            found.setdefault(piece[1:] if marked else piece, place)
    return found


def substitutes(words: Sequence[str], vectors: np.ndarray) -> Substitutes:
    """Take the words that are letters alone, three or more."""
    chosen = [n for n, one in enumerate(words) if len(one) > 2 and _WORD.fullmatch(one)]
    kept = vectors[chosen].astype(np.float32)
    kept /= np.maximum(np.linalg.norm(kept, axis=1, keepdims=True), 1e-9)
    return Substitutes([words[n] for n in chosen], kept)


def attack(text: str, ask: Ask, known: Substitutes) -> Attacked:
    """Replace words until the answer is wrong, or enough were replaced."""
    lead, queries = float(ask([text])[0]), 1
    spans = [match.span() for match in _WORD.finditer(text)]
    if lead < 0 or not spans:
        return Attacked(text, lead < 0, queries, 0.0)
    without = ask([text[:start] + text[end:] for start, end in spans])
    queries += len(spans)
    words = [text[start:end] for start, end in spans]
    left, changed = max(1, int(_MOST_CHANGED * len(spans))), 0
    for place in np.argsort(without, kind="stable").tolist():
        options = known.of(words[place])
        if not options or changed == left:
            continue
        tried = [_replaced(text, spans, words, place, one) for one in options]
        leads = ask(tried)
        queries += len(tried)
        best = int(leads.argmin())
        if leads[best] < lead:
            words[place], lead, changed = options[best], float(leads[best]), changed + 1
        if lead < 0:
            break
    made = _replaced(text, spans, words, 0, words[0])
    return Attacked(made, lead < 0, queries, changed / len(spans))


def _replaced(
    text: str, spans: Sequence[tuple[int, int]], words: Sequence[str], place: int, word: str
) -> str:
    """Write the text with these words, and another one in one place."""
    parts, end = [], 0
    for number, (start, after) in enumerate(spans):
        parts += [text[end:start], word if number == place else words[number]]
        end = after
    return "".join([*parts, text[end:]])


def _form(word: str) -> str:
    return next((end for end in _ENDS if word.endswith(end)), "")


def _cased(word: str, like: str) -> str:
    if like.isupper() and len(like) > 1:
        return word.upper()
    return word.capitalize() if like[0].isupper() else word
