"""Gives run folders that a stranger made to every command.

    python -m tests.attack.crafted RECIPE RUNS [STEP]

Every text of the manifests and of the recipe becomes HTML, an escape sequence, markup of a terminal
or a path that leads out; every value becomes one of another kind; every file and folder becomes a
link. All is sealed again, as a stranger would. Nothing may be written outside the run, no page may
hold a tag of theirs, no terminal may get their bytes, and every command must end with a message.
With a STEP one of so many folders is tried, which takes minutes instead of hours.
"""

import json
import shutil
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jpqd.core import seals
from tests.attack.damage import call, commands, concerned
from tests.helpers.pages import Reader

EVIL = (
    "<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "\x1b[2J\x1b]0;owned\x07",
    "[/b][red]x", "../../../outside", "/etc/passwd", "\u202etxt", "a\nerror: fake", "x" * 5000,
    "{0} %s {folder}", "",
)  # fmt: skip
ODD: tuple[Any, ...] = (None, -1, 1e308, "text", [], {}, [[1]], True, {"n": "x"}, 10**30)

SLOW = 8
"""Export and benchmark, which take seconds, are given one folder in so many."""


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every container with each of its keys."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in list(items):
        yield value, key
        if isinstance(inner, dict | list):
            yield from places(inner)


def crafted(content: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the content with one thing changed, and once with every text changed."""
    for evil in EVIL:
        copy = json.loads(json.dumps(content))
        for container, key in places(copy):
            if isinstance(container[key], str):
                container[key] = evil
        yield copy
    for number, _ in enumerate(places(content)):
        copy = json.loads(json.dumps(content))
        container, key = list(places(copy))[number]
        container[key] = [*EVIL, *ODD][number % (len(EVIL) + len(ODD))]
        yield copy


def problems(
    run: Path, path: Path, recipe: Path, out: Path, outside: dict[str, bytes], slow: bool
) -> Iterator[str]:
    """Name what a command did that it must not do."""
    calls = commands(run, recipe, out)
    for name in concerned(run, path, calls):
        if name in ("export", "bench") and not slow:
            continue
        done = call(*calls[name])
        if done.exit_code not in (0, 1, 2) or "More with --debug" in done.output:
            yield f"{name}: {done.exit_code}: {done.output[-200:]!r}"
        if any(ord(c) < 32 and c not in "\n\t" for c in done.output) or "\u202e" in done.output:
            yield f"{name}: control characters: {done.output[:200]!r}"
        for page in out.glob("pages/*.html"):
            read = Reader(page.read_text())
            if {"script", "img", "red"} & set(read.tags) or any("onerror" in i for i in read.ids):
                yield f"{name}: raw HTML"
        shutil.rmtree(out / "pages", ignore_errors=True)
    if outside != snapshot(run.parent.parent / "outside"):
        yield "something was written outside"


def snapshot(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def of_manifests(run: Path, kept: Path) -> Iterator[Path]:
    files = [run / "recipe.json", *sorted(run.glob("*/manifest.json"))]
    for path in files:
        content = seals.read(path)
        assert content is not None
        for copy in crafted(content):
            seals.write(path, copy)
            yield path
        shutil.copy(kept / path.relative_to(run), path)


def of_links(run: Path, kept: Path, outside: Path) -> Iterator[Path]:
    """Yield once for each file and folder of a run that is a link."""
    more = [run / name for name in (".work", ".lock", ".tracking", "teacher.partial",
                                    "teacher.replaced", ".teacher_ir.lock")]  # fmt: skip
    for path in [*more, *sorted(run.rglob("*"))]:
        link = outside / "folder" if path.is_dir() or path in more[:4] else outside / "file"
        if path.exists() and path.parent != run and path.is_dir():
            continue
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        path.symlink_to(link)
        yield path
        shutil.rmtree(run)
        shutil.copytree(kept, run)


def main(recipe: Path, runs: Path, step: int = 1) -> int:
    done = call("run", recipe, "--runs", runs)
    assert done.exit_code == 0, done.output
    run, outside = runs / recipe.stem, runs.parent / "outside"
    call("report", run.name, "--runs", runs)
    (outside / "folder").mkdir(parents=True, exist_ok=True)
    for name in ("file", "folder/file"):
        (outside / name).write_text("mine")
    before, kept = snapshot(outside), runs / "crafted_kept"
    shutil.rmtree(kept, ignore_errors=True)
    shutil.copytree(run, kept / run.name)
    counts: Counter[str] = Counter()
    for attack in (of_manifests(run, kept / run.name), of_links(run, kept / run.name, outside)):
        for number, path in enumerate(attack):
            if number % step:
                continue
            slow = counts["folders"] % SLOW == 0
            counts["folders"] += 1
            for problem in problems(run, path, recipe, runs / ".attack", before, slow):
                counts["PROBLEMS"] += 1
                print(f"{path.relative_to(run)}: {problem}", flush=True)
    print(dict(counts))
    return int("PROBLEMS" in counts)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2]), *map(int, sys.argv[3:])))
