"""`jpqd` whose searches run no structure until a file is there, with short leases.

Its arguments are the file's name and those of `jpqd`.
"""

import sys
import time
from pathlib import Path

import cli
from jpqd.core.compression_plan import Structure
from jpqd.recipe import recipes
from jpqd.search import pool
from jpqd.search.candidates import Candidates
from tests.helpers.stages import STAGES

run = Candidates.run


def when_open(self: Candidates, structure: Structure) -> tuple[float, float]:
    while not Path(sys.argv[1]).exists():
        time.sleep(0.05)
    return run(self, structure)


def main() -> None:
    recipes.STAGES += STAGES
    pool.LEASE = 2
    Candidates.run = when_open  # type: ignore[method-assign]
    cli.app(sys.argv[2:])
