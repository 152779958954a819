"""`jpqd` in a process that is forked from one which has imported everything.

Imports take half of the time of a short command. What is about them, or about how the program
starts and ends, uses `tiny.start` or `subprocess`.
"""

import multiprocessing
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(["tests.helpers.preloaded"])


def run(
    command: Sequence[str], environment: dict[str, str], timeout: float
) -> subprocess.CompletedProcess[str]:
    """Do what `subprocess.run` does, with texts captured."""
    with tempfile.TemporaryDirectory() as folder:
        said = [Path(folder) / name for name in ("stdout", "stderr")]
        process = _FORKS.Process(target=_become, args=(command, environment, str(Path.cwd()), said))
        process.start()
        process.join(timeout)
        if process.exitcode is None:
            process.kill()
            raise subprocess.TimeoutExpired(command, timeout, *(p.read_text() for p in said))
        return subprocess.CompletedProcess(
            command, process.exitcode, *(path.read_text() for path in said)
        )


def _become(
    command: Sequence[str], environment: dict[str, str], folder: str, said: Sequence[Path]
) -> None:
    """Be the command: its arguments, variables, folder and files."""
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    for number, path in enumerate(said, 1):
        opened = os.open(path, os.O_WRONLY | os.O_CREAT)
        os.dup2(opened, number)
        os.close(opened)
    sys.stdout, sys.stderr = (os.fdopen(number, "w", buffering=1) for number in (1, 2))
    sys.argv = list(command)
    from cli import app

    app()
