"""Sealed JSON files and pages: every changed byte shows, and every edit."""

import json
from pathlib import Path

import pytest

from jpqd.core import seals


@pytest.fixture
def sealed(tmp_path: Path) -> Path:
    path = tmp_path / "manifest.json"
    seals.write(path, {"stage": "teacher", "metrics": {"accuracy": 0.912, "n": 872}})
    return path


def test_content_comes_back(sealed: Path) -> None:
    content = seals.read(sealed)
    assert content is not None
    assert content["metrics"] == {"accuracy": 0.912, "n": 872}


def test_every_flipped_bit_of_the_content_shows(sealed: Path) -> None:
    whole, expected = sealed.read_bytes(), seals.read(sealed)
    for place in range(len(whole)):
        for bit in (1, 2, 8, 64):
            flipped = bytearray(whole)
            flipped[place] ^= bit
            sealed.write_bytes(flipped)
            assert seals.read(sealed) in (None, expected)  # white space carries nothing


@pytest.mark.parametrize(
    "text", ["", "[]", "{", "[" * 100_000, '{"format": 2}', '{"seal": 1}', '{"format": 2, "seal":']
)
def test_what_is_no_sealed_file_is_none(sealed: Path, text: str) -> None:
    sealed.write_text(text)
    assert seals.read(sealed) is None


def test_an_edit_by_hand_shows(sealed: Path) -> None:
    sealed.write_text(sealed.read_text().replace("0.912", "0.999"))
    assert seals.read(sealed) is None


def test_a_seal_that_was_taken_off_is_missed(sealed: Path) -> None:
    content = json.loads(sealed.read_text())
    del content["seal"]
    sealed.write_text(json.dumps(content))
    assert seals.read(sealed) is None


def test_a_file_of_version_0_1_has_no_seal(sealed: Path) -> None:
    sealed.write_text('{"format": 1, "stage": "teacher"}')
    assert seals.read(sealed) == {"format": 1, "stage": "teacher"}


@pytest.mark.parametrize("harm", [lambda t: t[:-9], lambda t: t.replace("91", "99"), lambda t: ""])
def test_a_page_that_was_changed_shows(tmp_path: Path, harm: object) -> None:
    page = tmp_path / "report.md"
    page.write_text(seals.sealed_page("# Accuracy 91\n"))
    assert seals.is_page_sealed(page)
    page.write_text(harm(page.read_text()))  # type: ignore[operator]
    assert not seals.is_page_sealed(page)
