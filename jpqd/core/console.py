"""The common parts of all commands: options, exit codes, and results as JSON or a table."""

import contextlib
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from jpqd.core.errors import JpqdError
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

DEFAULT_RUNS = Path("runs")


@contextlib.contextmanager
def errors(debug: bool, as_json: bool) -> Iterator[None]:
    """Turn every error into a message and an exit code; show a traceback only with --debug."""
    try:
        yield
    except (typer.Exit, SystemExit):
        raise
    except BaseException as error:
        if debug:
            raise
        known = isinstance(error, JpqdError)
        message = str(error) if known else f"{type(error).__name__}: {error}\nMore with --debug."
        code = 130 if isinstance(error, KeyboardInterrupt) else getattr(error, "exit_code", 1)
        if as_json:
            typer.echo(json.dumps({"error": message, "exit_code": code}))
        typer.echo(f"error: {message}", err=True)
        raise typer.Exit(code) from None


def prepare(offline: bool) -> None:
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    if offline:
        go_offline()


def show(as_json: bool, value: Any, table: Any) -> None:
    if as_json:
        typer.echo(json.dumps(value, indent=2, default=str))
    elif table is not None:
        print_table(table)


def print_table(table: Any) -> None:
    from rich.console import Console

    width = None if sys.stdout.isatty() else 140
    Console(width=width, highlight=False).print(table)
