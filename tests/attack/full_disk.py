"""Fills the disk in every stage of a run, in an export, a benchmark and a report.

    python -m tests.attack.full_disk RUNS [every|decoder|search] [STAGE...]

Needs `unshare` and tmpfs. Each size must end with a message and nothing half written, and the run
must go on where there is room. Prints what stopped at each size.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import yaml

from tests.helpers.tiny import JPQD

ROOM = (8, 60, 200, 500, 1200)
"""Kilobytes that are free at the start."""
SCRIPT = """
mount -t tmpfs -o size={size}k tmpfs {disk} && cp -r {kept}/. {disk} || exit 9
{command}
echo "code $?" >&2
{jpqd} verify --runs {disk} >&2
ls -A {disk}/{name} {disk} >&2
rm -rf {kept} && mkdir {kept} && cp -r {disk}/. {kept}
"""


def commands(recipe: Path, disk: Path) -> dict[str, str]:
    """The command that fills the disk, by the stage or command that must notice."""
    stages = yaml.safe_load(recipe.read_text())["stages"]
    run = f"{JPQD} run {recipe} --runs {disk}"
    trained = "jpqd" if "jpqd" in stages else "base"
    return {
        **dict.fromkeys(stages, run),
        "export": f"{JPQD} export {trained} --runs {disk} --out {disk}/ir",
        "measure": f"{JPQD} bench --runs {disk} --seconds 0.5 --blocks 4 --mode latency --length 8",
        "report": f"{JPQD} report --runs {disk}",
    }


def limited(name: str, command: str, room: int, disk: Path, kept: Path) -> str:
    """Run a command on a disk with so much room; `kept` holds what it held at the end."""
    used = int(subprocess.check_output(["du", "-sk", str(kept)], text=True).split()[0])
    script = SCRIPT.format(
        size=used + room, disk=disk, kept=kept, jpqd=JPQD, command=command, name=name
    )
    shell = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script]
    environment = {**os.environ, "OMP_NUM_THREADS": "2", "TMPDIR": str(kept.parent)}
    return subprocess.run(shell, env=environment, capture_output=True, text=True).stderr


def check(told: str) -> str:
    """Return what happened, once it was found to be in order."""
    assert "Traceback" not in told, told
    code = re.findall(r"^code (\d+)", told, re.M)[0]
    assert "not as sealed" not in told, told
    assert not re.search(r"\.(partial|writing)$", told, re.M), told
    if code == "0":
        return "done"
    message: str = re.findall(r"^error: (.*)", told, re.M)[0]
    assert code == "1" and "no room to write" in message, told
    return message[:110]


def attack(recipe: Path, runs: Path, whole: Path, only: Sequence[str]) -> Iterator[str]:
    disk, kept, run = runs / "disk", runs / "kept", recipe.stem
    disk.mkdir()
    names = list(commands(recipe, disk))
    for place, (name, command) in enumerate(commands(recipe, disk).items()):
        if only and name not in only:
            continue
        for room in ROOM:
            shutil.rmtree(kept, ignore_errors=True)
            shutil.copytree(whole, kept)
            for later in names[place:]:  # as it was before this stage
                shutil.rmtree(kept / run / later, ignore_errors=True)
            for found in (kept / ".cache").glob("search-*"):
                found.unlink()
            yield f"{name}, {room} kB: {check(limited(run, command, room, disk, kept))}"
        if command.startswith(f"{JPQD} run"):
            told = check(limited(run, command, 1_000_000, disk, kept))
            assert told == "done", told


def main(runs: Path, name: str = "every", *only: str) -> None:
    recipe, whole = Path(__file__).with_name(f"{name}.yaml"), runs / "whole"
    runs.mkdir(parents=True)
    subprocess.run([JPQD, "run", str(recipe), "--runs", str(whole)], check=True)
    for line in attack(recipe, runs, whole, only):
        print(line, flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
