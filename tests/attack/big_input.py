"""Prepares a table of many rows and prints time and memory at the peak.

python -m tests.attack.big_input FOLDER [ROWS]
"""

import resource
import shutil
import sys
import time
from pathlib import Path

from jpqd.core.progress import Progress
from jpqd.data import splits
from jpqd.model import loading
from jpqd.recipe.task import NewModel, Task

ROWS = 10_000_000


def write(path: Path, rows: int) -> None:
    with path.open("w") as file:
        file.write("text,label\n")
        for row in range(rows):
            file.write(f"word{row % 977} is number {row},{'yes' if row % 3 else 'no'}\n")


def main(folder: Path, rows: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    write(folder / "train.csv", rows)
    task = Task(name="big", dataset=str(folder / "train.csv"), max_length=32)
    small = Task(name="small", dataset="builtin:reviews")
    words = loading.load_tokenizer(NewModel(new="bert"), small, folder / "cache")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    started = time.monotonic()
    splits.prepare(task, words, folder / "cache", Progress())
    seconds = time.monotonic() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    print(f"{rows:,} rows: {seconds:.0f} s, {before:.0f} MB before, {peak:.0f} MB at the peak")
    shutil.rmtree(folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else ROWS)
