"""Docstrings begin with a verb or a noun, so that a stranger understands them at first reading."""

import ast
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

ROOT = Path(__file__).parents[2]
RIDDLES = """
    of in on at by for from with without into over under beside behind before after to as where what
    which whose who how when while why until once between among against through than like whether
"""
"""First words of fragments such as "Of the latencies" or "What a unit can do"."""


def sources() -> Iterator[Path]:
    yield ROOT / "cli.py"
    for folder in ("jpqd", "export", "runtime_bench"):
        yield from sorted((ROOT / folder).rglob("*.py"))


def docstrings(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Yield the line and text of every docstring, also of those below a constant or a field."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            continue
        for before, statement in pairwise([None, *node.body]):
            match statement:
                case ast.Expr(value=ast.Constant(value=str(text))):
                    if before is None or isinstance(before, ast.Assign | ast.AnnAssign):
                        yield statement.lineno, text


def offenders(text: str) -> list[str]:
    return [
        f"{line}: {doc.splitlines()[0]}"
        for line, doc in docstrings(ast.parse(text))
        if first_word(doc) in RIDDLES.split()
    ]


def first_word(doc: str) -> str:
    return doc.split(maxsplit=1)[0].strip(".,:;").lower() if doc.strip() else ""


def test_no_docstring_begins_like_a_riddle() -> None:
    riddles = [
        f"{path.relative_to(ROOT)}:{offender}"
        for path in sources()
        for offender in offenders(path.read_text())
    ]
    assert riddles == []


def test_the_check_sees_functions_classes_and_fields() -> None:
    text = '"""Of x."""\nclass A:\n    """What."""\n    b: int\n    """By mode."""\n\n\ndef c():\n'
    assert len(offenders(text + '    """Return it."""\n')) == 3
