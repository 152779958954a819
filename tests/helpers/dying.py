"""Runs a recipe in one process after another, each of which kills itself at a step of its own.

    python -m tests.helpers.dying recipe.yaml runs 4 9 0 0

Forks, so that what takes seconds to import is imported once. 0 lives to the end, and its folder
moves to `runs/0`, `runs/1` and so on, so that the next one starts anew.
"""

import os
import signal
import sys
from pathlib import Path

from jpqd.core.progress import Progress
from jpqd.methods.prune import attach  # noqa: F401
from jpqd.recipe import recipes
from jpqd.run import runner
from jpqd.training.loop import Loop

STAGE = "joint"


def live(path: Path, runs: Path, last: int) -> None:
    commit = Loop._commit

    def die(self: Loop, written: Path) -> None:
        commit(self, written)
        if self.ctx.stage == STAGE and self.journal.step == last:
            os.kill(os.getpid(), signal.SIGKILL)

    Loop._commit = die  # type: ignore[method-assign]
    runner.execute(recipes.load(path), runs, Progress(quiet=True))


def main(path: Path, runs: Path, steps: list[int]) -> None:
    for last in steps:
        child = os.fork()
        if not child:
            live(path, runs, last)
            os._exit(0)
        status = os.waitpid(child, 0)[1]
        expected = signal.SIGKILL if last else 0
        assert status == expected, f"step {last}: ended with {status}"
        if not last:
            (runs / path.stem / STAGE).rename(runs / str(len(list(runs.glob("[0-9]")))))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), [int(step) for step in sys.argv[3:]])
