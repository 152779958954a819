"""`jpqd export` and `jpqd predict`: read arguments, call the library, print results."""

import json
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from jpqd.core.console import (
    DEFAULT_RUNS,
    Debug,
    Json,
    Offline,
    Runs,
    Threads,
    errors,
    prepare,
    show,
)


def export(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[STAGE|DIR]",
            help="A stage of the run, or a model folder; by default the last trained stage.",
            show_default=False,
        ),
    ] = None,
    ir: Annotated[bool, typer.Option("--ir", help="Write OpenVINO IR, the only format.")] = True,
    run: Annotated[
        str | None, typer.Option("--run", help="The run; by default the newest.")
    ] = None,
    shape: Annotated[
        str, typer.Option(help="dynamic, bounded, bounded:LENGTH or static:BATCH,LENGTH")
    ] = "bounded",
    precision: Annotated[
        Literal["f32", "f16"], typer.Option(help="The precision of weights that are not quantized.")
    ] = "f32",
    fuse_tokenizer: Annotated[
        bool, typer.Option("--fuse-tokenizer", help="Also write an IR that takes texts.")
    ] = False,
    layout: Annotated[
        Literal["folder", "ovms"], typer.Option(help="Use ovms for OpenVINO Model Server.")
    ] = "folder",
    out: Annotated[
        Path | None, typer.Option(help="The folder to write; by default beside the stage.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an earlier export.")] = False,
    check: Annotated[
        bool, typer.Option("--check/--no-check", help="Compare with the PyTorch model.")
    ] = True,
    threads: Threads = None,
    runs: Runs = DEFAULT_RUNS,
    as_json: Json = False,
    offline: Offline = False,
    debug: Debug = False,
) -> None:
    """Export a trained stage to OpenVINO IR, checked row by row against the PyTorch model."""
    with errors(debug, as_json):
        from export import command, origin
        from jpqd.core import cpus
        from jpqd.core.progress import Progress
        from jpqd.report import terminal

        prepare(offline)
        progress = Progress()
        cpus.use(threads, progress)
        chosen = origin.find(runs, name, run)
        spec = command.spec(chosen, shape=shape, precision=precision, layout=layout,
                             fuse_tokenizer=fuse_tokenizer, check=check)  # fmt: skip
        sealed, place = command.export(chosen, spec, out, force, progress)
        show(as_json, {"folder": str(place), **sealed.model_dump(mode="json")},
             terminal.stage_table(str(place), [sealed]))  # fmt: skip


def predict(
    folder: Annotated[Path, typer.Argument(help="A folder that `jpqd export --ir` wrote.")],
    texts: Annotated[
        list[str] | None,
        typer.Argument(metavar="[TEXT]...", help="Lines of standard input when not given."),
    ] = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Predict the label and its probability for texts, with an exported folder.

    A model of text pairs takes two texts at a time.
    """
    with errors(debug, as_json):
        from export.predict import Predictor

        predictor = Predictor(folder)
        given = predictor.arguments(texts) if texts else predictor.lines(sys.stdin)
        for answer in predictor(given):
            typer.echo(
                json.dumps(answer, ensure_ascii=False) if as_json else predictor.line(answer)
            )
