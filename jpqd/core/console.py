"""The common parts of all commands: options, exit codes, and results as JSON or a table."""

import contextlib
import json
import os
import signal
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from jpqd.core import interrupts
from jpqd.core.errors import Interrupted, JpqdError
from jpqd.core.offline import go_offline

Runs = Annotated[Path, typer.Option("--runs", help="The folder of all runs.", envvar="JPQD_RUNS")]
Json = Annotated[bool, typer.Option("--json", help="Machine-readable result on standard output.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]
Offline = Annotated[bool, typer.Option("--offline", help="Never ask a hub; use what is cached.")]
Threads = Annotated[
    int | None,
    typer.Option(min=1, max=1024, help="Threads that compute; by default one for each usable CPU."),
]
RunName = Annotated[str | None, typer.Argument(help="A run; the newest one when not given.")]

OfRun = Annotated[str | None, typer.Option("--run", help="The run; by default the newest.")]

DEFAULT_RUNS = Path("runs")
_shown: list[bool] = []
"""Holds something once this command has written its result as JSON."""


@contextlib.contextmanager
def errors(debug: bool, as_json: bool) -> Iterator[None]:
    """Turn every error into a message and an exit code; show a traceback only with --debug."""
    interrupts.install()
    _shown.clear()
    try:
        yield
    except (typer.Exit, typer.Abort, SystemExit):
        raise
    except BrokenPipeError:  # the reader of our output has gone, as in `jpqd predict ... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(128 + signal.SIGPIPE) from None
    except BaseException as error:
        if debug:
            traceback.print_exc()
        message, code = _told(error)
        if as_json and not _shown:  # one document: a reader takes all of the output for it
            echo(json.dumps({"error": message, "exit_code": code}))
        echo(f"error: {message}", err=True)
        raise typer.Exit(code) from None


def _told(error: BaseException) -> tuple[str, int]:
    """Return the message of an error, and its exit code."""
    if isinstance(error, JpqdError | Interrupted):
        return str(error), error.exit_code
    if isinstance(error, KeyboardInterrupt):
        return "interrupted", 128 + signal.SIGINT
    return f"{type(error).__name__}: {error}\nMore with --debug.", 1


def echo(text: object, err: bool = False, *, line: bool = True) -> None:
    """Print a line, or a piece of one; what would steer the terminal is shown as its code."""
    from jpqd.core.terminal import plain

    typer.echo(plain(text), err=err, nl=line)


def prepare(offline: bool) -> None:
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    if offline:
        go_offline()


def show(as_json: bool, value: Any, table: Any) -> None:
    if as_json:
        _shown.append(True)
        typer.echo(json.dumps(value, indent=2, default=str))
    elif table is not None:
        print_table(table)


def print_table(table: Any) -> None:
    from jpqd.core.terminal import PlainConsole

    width = None if sys.stdout.isatty() else 140
    PlainConsole(width=width, highlight=False).print(table)
