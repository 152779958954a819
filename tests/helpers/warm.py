"""Python programs in processes that are forked from one which has imported everything.

Imports take six seconds. What is about them, or about how the program starts, uses `tiny.start`.
"""

import importlib
import multiprocessing
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(["tests.helpers.preloaded"])


class Forked:
    """A program by its entry point, such as `cli:app`, with the methods of `subprocess.Popen`."""

    def __init__(self, entry: str, arguments: Sequence[object], environment: dict[str, str]):
        self.folder = tempfile.TemporaryDirectory()
        self.said = [Path(self.folder.name) / name for name in ("stdout", "stderr")]
        for path in self.said:
            path.touch()
        self.arguments = ["jpqd", *map(str, arguments)]
        given = (entry, self.arguments, environment, str(Path.cwd()), self.said)
        self.process = _FORKS.Process(target=_become, args=given)
        self.process.start()

    @property
    def pid(self) -> int:
        assert self.process.pid is not None
        return self.process.pid

    @property
    def returncode(self) -> int | None:
        return self.process.exitcode

    def kill(self) -> None:
        self.process.kill()

    def wait(self, timeout: float | None = None) -> int:
        self.process.join(timeout)
        if self.process.exitcode is None:
            said = [path.read_text() for path in self.said]
            self.process.kill()
            raise subprocess.TimeoutExpired(self.arguments, timeout or 0, *said)
        return self.process.exitcode

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """Return what it said to stdout and to stderr."""
        self.wait(timeout)
        out, err = (path.read_text() for path in self.said)
        return out, err


def run(
    arguments: Sequence[object], environment: dict[str, str], timeout: float
) -> subprocess.CompletedProcess[str]:
    """Run `jpqd`."""
    forked = Forked("cli:app", arguments, environment)
    said = forked.communicate(timeout)
    return subprocess.CompletedProcess(forked.arguments, forked.returncode or 0, *said)


def _become(
    entry: str,
    arguments: Sequence[str],
    environment: dict[str, str],
    folder: str,
    said: Sequence[Path],
) -> None:
    """Be the program: its arguments, variables, folder and files."""
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    for number, path in enumerate(said, 1):
        opened = os.open(path, os.O_WRONLY)
        os.dup2(opened, number)
        os.close(opened)
    sys.stdout, sys.stderr = (os.fdopen(number, "w", buffering=1) for number in (1, 2))
    sys.argv = list(arguments)
    module, function = entry.split(":")
    getattr(importlib.import_module(module), function)()
