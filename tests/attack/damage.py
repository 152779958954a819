"""Flips, truncates, deletes and swaps every file of a complete run, one at a time.

    python -m tests.attack.damage RECIPE RUNS

Runs the recipe first. After each harm `verify` must fail, and no command may answer differently
without a word. Prints every miss, and a count.
"""

import json
import re
import shutil
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from click.testing import Result
from typer.testing import CliRunner

from cli import app

Harm = Callable[[Path, Path], None]
_SAID = re.compile(
    r"damage|not as sealed|not sealed|changed after|torn|missing|no such|there is no"
)
_VARIES = re.compile(r"[0-9:T+-]{19,}|[0-9.]+ s\b|<!-- sha256.*-->")
"""The parts of an answer that differ between two calls: times, and the hash of a page with them."""


def flip(path: Path, other: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)


def truncate(path: Path, other: Path) -> None:
    path.write_bytes(path.read_bytes()[:-2])


def delete(path: Path, other: Path) -> None:
    path.unlink()


def swap(path: Path, other: Path) -> None:
    here, there = path.read_bytes(), other.read_bytes()
    path.write_bytes(there)
    other.write_bytes(here)


def call(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def commands(run: Path, recipe: Path, out: Path) -> dict[str, tuple[object, ...]]:
    """Every command that reads a run, by name."""
    where = ("--runs", run.parent)
    short = ("--length", 8, "--seconds", 0.5, "--blocks", 4, "--mode", "latency")
    return {
        "ls": ("ls", run.name, *where),
        "plan": ("plan", recipe, *where, "--json"),
        "compare": ("compare", run.name, *where, "--json"),
        "report": ("report", run.name, *where, "--out", out / "pages"),
        "predict teacher": ("predict", run / "teacher_ir", "--json", "The film is good."),
        "predict jpqd": ("predict", run / "jpqd_ir", "--json", "The film is good."),
        "export": ("export", "jpqd", *where, "--out", out / "ir", "--force", "--no-check"),
        "bench": ("bench", run / "teacher_ir", run / "jpqd_ir", *short, *where, "--out", out / "b"),
    }


def answer(name: str, given: Result, out: Path) -> str:
    """What a command says, without what varies between two calls."""
    if given.exit_code:
        return "refused"
    if name == "plan":
        return str([(step["stage"], step["state"]) for step in json.loads(given.stdout)])
    if name == "bench":
        return "measured"
    if name == "export":
        return "exported"
    text = given.stdout
    if name == "report":
        text = (out / "pages" / "report.md").read_text()
    return _VARIES.sub("", text)


def attack(run: Path, recipe: Path, out: Path) -> Iterator[tuple[str, str]]:
    """Yield what became of every harm: a kind of outcome, and its place."""
    calls = commands(run, recipe, out)
    before = {name: answer(name, call(*given), out) for name, given in calls.items()}
    refused = [name for name, said in before.items() if said == "refused"]
    assert not refused, f"refused before any harm: {refused}"
    kept = run.with_name("kept")
    shutil.copytree(run, kept)
    files = [path for path in sorted(run.rglob("*")) if path.is_file() and path.stat().st_size]
    files = [path for path in files if not path.relative_to(run).as_posix().startswith(".")]
    for path in files:
        alike = [file for file in files if file.name == path.name and file != path]
        other = next((f for f in [*alike, *files] if f.read_bytes() != path.read_bytes()), path)
        for harm in (flip, truncate, delete, swap):
            harm(path, other)
            place = f"{harm.__name__} {path.relative_to(run)}"
            yield from _outcomes(run, path, place, calls, before, out)
            shutil.rmtree(run)
            shutil.copytree(kept, run)


def _outcomes(
    run: Path,
    path: Path,
    place: str,
    calls: dict[str, tuple[object, ...]],
    before: dict[str, str],
    out: Path,
) -> Iterator[tuple[str, str]]:
    found = call("verify", run.name, "--runs", run.parent)
    gone = path.name in ("report.html", "report.md") and not path.exists()
    yield ("named" if found.exit_code or gone else "MISSED"), f"{place}: verify"
    for name in concerned(run, path, calls):
        given = call(*calls[name])
        now, said = answer(name, given, out), given.output
        if name == "report" and not given.exit_code:
            said += (out / "pages" / "report.md").read_text()
        if given.exit_code not in (0, 1, 2) or "Traceback" in given.output:
            yield "CRASHED", f"{place}: {name}: {given.output[-300:]}"
        elif now == "refused":
            yield "refused", f"{place}: {name}"
        elif now == before[name]:
            yield "not touched", f"{place}: {name}"
        else:
            yield ("told" if name == "plan" or _SAID.search(said) else "USED"), f"{place}: {name}"


def concerned(run: Path, path: Path, calls: dict[str, tuple[object, ...]]) -> list[str]:
    """The commands to try: slow ones only where the file is theirs."""
    stage = path.relative_to(run).parts[0]
    slow = {"export": {"jpqd", "recipe.json"}, "bench": {"teacher_ir", "jpqd_ir"}}
    return [name for name in calls if name not in slow or stage in slow[name]]


def main(recipe: Path, runs: Path) -> int:
    done = call("run", recipe, "--runs", runs)
    assert done.exit_code == 0, done.output
    run = runs / recipe.stem
    call("report", run.name, "--runs", runs)
    counts: Counter[str] = Counter()
    for outcome, place in attack(run, recipe, runs / ".attack"):
        counts[outcome] += 1
        if outcome.isupper():
            print(f"{outcome}: {place}", flush=True)
    print(dict(counts))
    return int(any(outcome.isupper() for outcome in counts))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
