"""Strict YAML: what a value means, where it stands, and what is refused."""

import math
import time
from pathlib import Path
from typing import Any

import pytest

from jpqd.core.errors import RecipeError
from jpqd.recipe import yamlfile


def value(text: str) -> Any:
    document = yamlfile.parse(text, "recipe.yaml")
    assert document.problems == []
    return document.value


def problems(text: str) -> list[str]:
    try:
        return [str(problem) for problem in yamlfile.parse(text, "recipe.yaml").problems]
    except RecipeError as error:
        return [str(problem) for problem in error.problems]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("no", "no"),
        ("on", "on"),
        ("yes", "yes"),
        ("1:30", "1:30"),
        ("2001-12-14", "2001-12-14"),
        ("1_000", "1_000"),
        ("<<", "<<"),
        ("1e-5", 1e-5),
        ("3.", 3.0),
        (".5", 0.5),
        ("-.inf", -math.inf),
        ("010", 10),
        ("0x1F", 31),
        ("0o17", 15),
        ("+7", 7),
        ("true", True),
        ("FALSE", False),
        ("~", None),
        ("null", None),
        ("'5'", "5"),
        ("!!str 5", "5"),
        ("!!float 5", 5.0),
    ],
)
def test_scalars_mean_what_yaml_1_2_says(text: str, expected: object) -> None:
    found = value(f"key: {text}")["key"]
    assert (found, type(found)) == (expected, type(expected))
    assert yamlfile.scalar(text) == expected


def test_nan_is_a_number() -> None:
    assert math.isnan(value("key: .nan")["key"])


def test_every_value_has_its_line() -> None:
    document = yamlfile.parse("a: 1\nb:\n  c:\n    - 2\n    - 3\n", "recipe.yaml")
    lines = {path: line for path, (_, line) in document.places.items()}
    assert lines == {(): 1, ("a",): 1, ("b",): 2, ("b", "c"): 3, ("b", "c", 0): 4, ("b", "c", 1): 5}
    assert document.place(("b", "c", 1, "missing")) == ("recipe.yaml", 5)


def test_duplicate_keys_are_named_with_both_lines() -> None:
    assert problems("a: 1\nb: {c: 1,\n    c: 2}\n") == [
        "recipe.yaml:3: b.c: is given twice (first in line 2)\n    Keep one of the two."
    ]


def test_a_quoted_key_is_the_same_key() -> None:
    assert "is given twice" in problems("1: a\n'1': b")[0]


@pytest.mark.parametrize(
    "tagged",
    [
        "!!python/object/apply:os.system [id]",
        "!!python/name:os.system ''",
        "!!bool maybe",
        "!!int ''",
        "!!int 1:30",
        "!!timestamp x",
        "!!binary aGk=",
        "!!set {a}",
        "!!omap [a: 1]",
        "!!str [a]",
        "!!map x",
        "!own x",
    ],
)
def test_tags_that_are_not_plain_are_one_problem(tagged: str) -> None:
    (problem,) = problems(f"a: 1\nb: {tagged}\n")
    assert problem.startswith("recipe.yaml:2: b: ")
    assert "no tags" in problem


@pytest.mark.parametrize("key", ["? [a, b]\n", "? {a: b}\n", "!!python/name:os.system x", "!own x"])
def test_keys_are_plain_text(key: str) -> None:
    (problem,) = problems(f"a: 1\n{key}: 2\n")
    assert problem.startswith("recipe.yaml:2: a key is not plain text")


@pytest.mark.parametrize("escape", [r"\0", r"\e[31m", r"\ud800", r"\x85", r"\r"])
def test_control_characters_are_refused_and_never_printed(escape: str) -> None:
    for text in (f'a: "x{escape}"', f'"x{escape}": a'):
        (problem,) = problems(text)
        assert "control characters" in problem
        assert problem.replace("\n", "").isprintable()


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        ("a: 1\nb: [1, 2\n", 3, "expected ',' or ']'"),
        ("a: b: c", 1, "mapping values are not allowed"),
        ("a: 1\n\tb: 2", 2, "cannot start any token"),
        ("a: *nobody", 1, "undefined alias"),
        ("a: 1\n---\nb: 2", 2, "another document"),
        ("a: 1\nb: \0", 2, "character 0x0"),
        ("%YAML 9.9\n---\na: 1", 1, "incompatible"),
    ],
)
def test_what_is_not_yaml_is_one_problem_with_its_line(text: str, line: int, what: str) -> None:
    (problem,) = problems(text)
    assert problem.startswith(f"recipe.yaml:{line}: not YAML: ")
    assert what in problem
    assert "Look at" in problem


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("a: " + "[" * 5000, "nested too deeply"),
        ('a: "\\Uffffffff"', "out of range"),
        ('a: "\\U00110000"', "out of range"),
        ("%YAML " + "9" * 5000 + ".1\n---\na: 1", "out of range"),
        ("a: " + "9" * 5000, "5000 digits is too long"),
    ],
)
def test_what_breaks_a_parser_is_one_problem(text: str, what: str) -> None:
    (problem,) = problems(text)
    assert what in problem


def test_a_bomb_of_aliases_is_refused_at_once() -> None:
    levels = [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    started = time.monotonic()
    (problem,) = problems("a0: &a0 [x]\n" + "\n".join(levels))
    assert "more than 10000 values" in problem
    assert time.monotonic() - started < 5


@pytest.mark.parametrize("text", ["a: &a [*a]", "a: &a {b: *a}", "a: " + "[" * 60 + "]" * 60])
def test_endless_and_deep_values_are_refused(text: str) -> None:
    (problem,) = problems(text)
    assert "40 levels" in problem


def test_an_alias_gives_each_place_its_own_value() -> None:
    found = value("a: &shared {x: [1]}\nb: *shared")
    found["a"]["x"].append(2)
    assert found["b"] == {"x": [1]}


@pytest.mark.parametrize("text", ["", "# only a comment\n", "---\n", "~"])
def test_an_empty_file_has_no_value(text: str) -> None:
    assert value(text) is None


def test_a_byte_order_mark_is_no_part_of_the_first_key(tmp_path: Path) -> None:
    (tmp_path / "bom.yaml").write_bytes(b"\xef\xbb\xbfa: 1")
    assert yamlfile.read(tmp_path / "bom.yaml").value == {"a": 1}


def unreadable(path: Path) -> str:
    with pytest.raises(RecipeError) as error:
        yamlfile.read(path)
    (problem,) = error.value.problems
    assert problem.remedy
    return problem.message


def test_files_that_cannot_be_read_are_one_problem(tmp_path: Path) -> None:
    (tmp_path / "latin.yaml").write_bytes("a: é".encode("latin-1"))
    (tmp_path / "long.yaml").write_text("a: 1\n" * 100_000)
    assert unreadable(tmp_path / "missing.yaml") == "cannot be read: No such file or directory"
    assert unreadable(tmp_path) == "cannot be read: Is a directory"
    assert unreadable(tmp_path / ("a" * 300)) == "cannot be read: File name too long"
    assert "null" in unreadable(tmp_path / "a\0b")
    assert unreadable(tmp_path / "latin.yaml").startswith("not a text file")
    assert unreadable(tmp_path / "long.yaml").startswith("too long for a recipe")


def test_a_device_without_end_is_refused() -> None:
    assert unreadable(Path("/dev/zero")).startswith("too long for a recipe")


def test_keys_that_would_garble_a_message_are_quoted() -> None:
    assert yamlfile.dotted(("stages", "a.b", 0, "x y", "")) == "stages.'a.b'.0.'x y'.''"
