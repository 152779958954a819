"""Fills the disk in every stage of a run, in an export, a benchmark and a report.

    python -m tests.attack.full_disk RUNS

Needs `unshare` and tmpfs. Each size must end with a message and nothing half written, and the run
must go on where there is room. Prints what stopped at each size.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import yaml

from tests.helpers.tiny import JPQD

RECIPE = Path(__file__).with_name("every.yaml")
ROOM = (8, 60, 200, 500, 1200)
"""Kilobytes that are free at the start."""
SCRIPT = """
mount -t tmpfs -o size={size}k tmpfs {disk} && cp -r {kept}/. {disk} || exit 9
{command}
echo "code $?" >&2
{jpqd} verify --runs {disk} >&2
ls -A {disk}/every {disk} >&2
rm -rf {kept} && mkdir {kept} && cp -r {disk}/. {kept}
"""


def commands(disk: Path) -> dict[str, str]:
    """The command that fills the disk, by the stage or command that must notice."""
    stages = yaml.safe_load(RECIPE.read_text())["stages"]
    run = f"{JPQD} run {RECIPE} --runs {disk}"
    return {
        **dict.fromkeys(stages, run),
        "export": f"{JPQD} export jpqd --runs {disk} --out {disk}/ir",
        "measure": f"{JPQD} bench --runs {disk} --seconds 0.5 --blocks 4 --mode latency --length 8",
        "report": f"{JPQD} report --runs {disk}",
    }


def limited(command: str, room: int, disk: Path, kept: Path) -> str:
    """Run a command on a disk with so much room; `kept` holds what it held at the end."""
    used = int(subprocess.check_output(["du", "-sk", str(kept)], text=True).split()[0])
    script = SCRIPT.format(size=used + room, disk=disk, kept=kept, jpqd=JPQD, command=command)
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


def attack(runs: Path, whole: Path) -> Iterator[str]:
    disk, kept = runs / "disk", runs / "kept"
    disk.mkdir()
    names = list(commands(disk))
    for place, (name, command) in enumerate(commands(disk).items()):
        for room in ROOM:
            shutil.rmtree(kept, ignore_errors=True)
            shutil.copytree(whole, kept)
            for later in names[place:]:  # as it was before this stage
                shutil.rmtree(kept / "every" / later, ignore_errors=True)
            yield f"{name}, {room} kB: {check(limited(command, room, disk, kept))}"
        if command.startswith(f"{JPQD} run"):
            told = check(limited(command, 1_000_000, disk, kept))
            assert told == "done", told


def main(runs: Path) -> None:
    runs.mkdir(parents=True)
    whole = runs / "whole"
    subprocess.run([JPQD, "run", str(RECIPE), "--runs", str(whole)], check=True)
    for line in attack(runs, whole):
        print(line, flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
