"""Entities in tagged words: the words that they span, and counts for F1."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np


OUTSIDE = "O"
"""The tag of a word that is part of no entity."""


class Entity(NamedTuple):
    """An entity: its type, its first word and its last one."""

    type: str
    first: int
    last: int


def entities(tags: Sequence[str]) -> Iterator[Entity]:
    """Read entities as conlleval does: an I- that continues nothing starts a new one.

    E- and L- are an entity's last word, S- and U- its only one (IOBES, BILOU).
    """
    kind, first = "", 0
    for place, tag in enumerate([*tags, "O"]):
        prefix, _, name = tag.partition("-")
        if kind and (prefix not in _GOES_ON or name != kind):
            yield Entity(kind, first, place - 1)
            kind = ""
        if prefix in PREFIXES and not kind:
            kind, first = name, place
        if kind and prefix in _ENDS:
            yield Entity(kind, first, place)
            kind = ""


PREFIXES = "BIESLU"
"""The letters that may stand before the type of an entity, with a dash between."""
_GOES_ON, _ENDS = ("I", "E", "L"), ("E", "L", "S", "U")


def are_readable(tags: Iterable[str]) -> bool:
    """Say whether tags mark entities: each is O, or a type behind a prefix and a dash."""
    pairs = [tag.partition("-") for tag in tags if tag != OUTSIDE]
    return bool(pairs) and all(len(p) == 1 and p in PREFIXES and name for p, _, name in pairs)


def counts(guess: Sequence[str], truth: Sequence[str]) -> tuple[int, int, int]:
    """Count the entities that are right, that were guessed, and that there are."""
    guessed, real = set(entities(guess)), set(entities(truth))
    return len(guessed & real), len(guessed), len(real)


def f1(counts: np.ndarray) -> np.ndarray:
    """Return F1 of counts along the last axis; zero where there is nothing to find."""
    right, guessed, real = counts[..., 0], counts[..., 1], counts[..., 2]
    whole = guessed + real
    share: np.ndarray = 2 * right / whole.clip(1)
    return share
