"""Slips in texts: the same everywhere, about as many as asked for, in any script."""

from __future__ import annotations

import random

import pytest

from jpqd.analysis import hangul, noise

TEXT = " ".join(f"word{'abcdefgh'[number % 8] * 3}" for number in range(400))


def changed(share: float, text: str = TEXT, seed: int = 1) -> set[int]:
    before, after = text.split(), noise.noisy(text, share, seed).split()
    assert len(before) == len(after)
    return {place for place, pair in enumerate(zip(before, after, strict=True)) if len({*pair}) > 1}


def test_about_as_many_words_slip_as_asked_and_more_slip_beside_them() -> None:
    few, many = changed(0.05), changed(0.2)
    assert 10 <= len(few) <= 32
    assert 60 <= len(many) <= 100
    assert few < many
    assert changed(0.0) == set()


def test_slips_are_the_same_again_and_others_with_another_seed() -> None:
    assert noise.noisy(TEXT, 0.1, 1) == noise.noisy(TEXT, 0.1, 1)
    assert noise.noisy(TEXT, 0.1, 1) != noise.noisy(TEXT, 0.1, 2)


def test_every_kind_of_slip_happens() -> None:
    words = [noise.noisy(f"wonderful {number}", 1.0, 0).split()[0] for number in range(200)]
    assert "WONDERFUL" in words
    assert any(word[-1] in ".,!?;:" for word in words)
    lengths = {len(word) for word in words if word.isalpha()}
    assert lengths == {8, 9, 10}
    assert any(sorted(word) == sorted("wonderful") and word != "wonderful" for word in words)


@pytest.mark.parametrize("text", ["", " ", "1234 -- 56", "\n\t", "a", "😀 ☂"])
def test_texts_without_letters_stay_texts(text: str) -> None:
    assert len(noise.noisy(text, 1.0, 0).split()) == len(text.split())


def test_korean_slips_in_a_letter_of_a_syllable_and_in_spaces() -> None:
    text = "이 영화는 정말 재미있었고 배우들의 연기도 훌륭했다 " * 20
    found = noise.noisy(text, 1.0, 3)
    assert found != text
    assert len(found.split()) < len(text.split())
    assert hangul.is_there(found)
    one = hangul.slipped("한국어", random.Random(0))
    assert len(one) == 3
    assert sum(a != b for a, b in zip(one, "한국어", strict=True)) == 1


def test_lists_of_words_keep_their_number() -> None:
    words = ["Berlin", "is", "서울", "not", "12"]
    found = noise.noisy_words(words, 1.0, 0)
    assert len(found) == 5
    assert found[0] != "Berlin"
    assert noise.noisy_words(words, 0.0, 0) == words
