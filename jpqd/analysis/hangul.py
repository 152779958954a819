"""Slips in Korean: a syllable is typed letter by letter, so one letter of it goes wrong."""

from __future__ import annotations

import random

_FIRST, _LAST = 0xAC00, 0xD7A3
_BEGINNINGS = "ㄱㄲㄴㄷㄸㄹㅁㅂㅃㅅㅆㅇㅈㅉㅊㅋㅌㅍㅎ"
_VOWELS = "ㅏㅐㅑㅒㅓㅔㅕㅖㅗㅘㅙㅚㅛㅜㅝㅞㅟㅠㅡㅢㅣ"
_ENDS = " ㄱㄲㄳㄴㄵㄶㄷㄹㄺㄻㄼㄽㄾㄿㅀㅁㅂㅄㅅㅆㅇㅈㅊㅋㅌㅍㅎ"
_KEYS = ("ㅂㅈㄷㄱㅅ", "ㅁㄴㅇㄹㅎ", "ㅋㅌㅊㅍ", "ㅛㅕㅑㅐㅔ", "ㅗㅓㅏㅣ", "ㅠㅜㅡ")
"""Rows of the usual keyboard: consonants, then vowels."""


def is_there(word: str) -> bool:
    return any(_FIRST <= ord(letter) <= _LAST for letter in word)


def slipped(word: str, chance: random.Random) -> str:
    """Hit the key beside a letter of one syllable."""
    places = [place for place, letter in enumerate(word) if _FIRST <= ord(letter) <= _LAST]
    place = chance.choice(places)
    return word[:place] + _changed(word[place], chance) + word[place + 1 :]


def _changed(syllable: str, chance: random.Random) -> str:
    number = ord(syllable) - _FIRST
    sets = (_BEGINNINGS, _VOWELS, _ENDS)
    parts = [number // 588, number % 588 // 28, number % 28]
    can = [part for part in range(3) if _near(sets[part][parts[part]], sets[part])]
    if not can:
        return syllable
    part = chance.choice(can)
    hit = chance.choice(_near(sets[part][parts[part]], sets[part]))
    parts[part] = sets[part].index(hit)
    return chr(_FIRST + parts[0] * 588 + parts[1] * 28 + parts[2])


def _near(letter: str, allowed: str) -> list[str]:
    """Return the letters beside this one that may stand in its place."""
    row = next((row for row in _KEYS if letter in row), "")
    place = row.find(letter)
    beside = [*row[max(place - 1, 0) : place], *row[place + 1 : place + 2]] if row else []
    return [one for one in beside if one in allowed]
