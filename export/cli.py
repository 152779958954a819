"""`jpqd export`, `evaluate` and `predict`: read arguments, call the library, print results."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from jpqd.core.console import (
    DEFAULT_RUNS,
    Debug,
    Json,
    Offline,
    OfRun,
    Runs,
    Threads,
    echo,
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
    run: OfRun = None,
    shape: Annotated[
        str,
        typer.Option(
            help="auto (buckets if pruned or INT8, else bounded), buckets, buckets:8,16, dynamic, "
            "bounded, bounded:LENGTH or static:BATCH,LENGTH"
        ),
    ] = "auto",
    precision: Annotated[
        Literal["f32", "f16"], typer.Option(help="The precision of weights that are not quantized.")
    ] = "f32",
    embedding: Annotated[
        Literal["int8", "int4"] | None,
        typer.Option(
            help="The bits of the word embedding; by default as trained.", show_default=False
        ),
    ] = None,
    fuse_tokenizer: Annotated[
        bool, typer.Option("--fuse-tokenizer", help="Also write an IR that takes texts.")
    ] = False,
    pairs: Annotated[
        bool, typer.Option("--pairs", help="A folder without a recipe: its model reads two texts.")
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
        chosen = command.of_pairs(origin.find(runs, name, run), pairs)
        spec = command.spec(chosen, shape=shape, precision=precision, layout=layout,
                             embedding=embedding, fuse_tokenizer=fuse_tokenizer,
                             check=check)  # fmt: skip
        sealed, place = command.export(chosen, spec, out, force, progress)
        show(as_json, {"folder": str(place), **sealed.model_dump(mode="json")},
             terminal.stage_table(str(place), [sealed]))  # fmt: skip


def evaluate(
    name: Annotated[
        str,
        typer.Argument(
            metavar="STAGE|DIR", help="A stage of the run, a model folder, or an exported folder."
        ),
    ],
    data: Annotated[Path, typer.Option(metavar="FILE", help="Rows with labels.")],
    text: Annotated[
        str | None, typer.Option(metavar="A,B", help="Its text columns; by default the task's.")
    ] = None,
    label: Annotated[
        str | None, typer.Option(help="Its column of labels; by default the task's.")
    ] = None,
    run: OfRun = None,
    runs: Runs = DEFAULT_RUNS,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Measure a model, or its OpenVINO IR, on any file of rows with labels."""
    with errors(debug, as_json):
        from export import origin
        from jpqd.core import cpus
        from jpqd.core.progress import Progress

        prepare(offline=False)
        progress = Progress()
        cpus.use(None, progress)
        chosen = origin.find(runs, name, run)
        from export import evaluate as evaluating  # seconds, which a wrong name need not wait for

        columns = tuple(part.strip() for part in text.split(",")) if text else ()
        result = evaluating.evaluate(chosen, evaluating.Columns(data, columns, label), progress)
        show(as_json, result, evaluating.show(result))


def predict(
    name: Annotated[
        str,
        typer.Argument(metavar="STAGE|DIR", help="An exported folder, or such a stage of the run."),
    ],
    texts: Annotated[
        list[str] | None,
        typer.Argument(metavar="[TEXT]...", help="Lines of standard input when not given."),
    ] = None,
    file: Annotated[
        Path | None, typer.Option("--file", help="A file with one text, or pair, in each line.")
    ] = None,
    every: Annotated[
        bool, typer.Option("--all", help="The probability of every label, the likeliest first.")
    ] = False,
    new_tokens: Annotated[
        int | None,
        typer.Option(
            min=1, help="A language model: the most tokens that it writes; 128 by default."
        ),
    ] = None,
    chat: Annotated[
        bool, typer.Option("--chat", help="A language model: every text is a turn of one talk.")
    ] = False,
    run: OfRun = None,
    runs: Runs = DEFAULT_RUNS,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Predict the label and its probability for texts: an answer for every line, in order.

    A model of text pairs takes two texts at a time, or two in a line with a tab between them. A
    language model writes on.
    """
    with errors(debug, as_json):
        from export import origin, predict
        from jpqd.core import terminal
        from jpqd.core.progress import Progress

        _refuse_both(texts, file)
        texts = predict.arguments(texts or (), Progress())
        folder = origin.find(runs, name, run).folder
        writes = predict.writes(folder)
        _refuse_other_options(writes, every=every, chat=chat, new_tokens=new_tokens)
        if writes:
            given = texts or predict.lines(file, Progress())
            for piece in predict.written(
                folder, given, new_tokens or 128, chat=chat, as_json=as_json
            ):
                echo(piece, line=False)
            return
        predictor = predict.Predictor(folder)
        if texts:
            rows = iter(predictor.arguments(texts))
        else:
            rows = predictor.lines(predict.lines(file, Progress()))
        for answer in predictor(rows):
            told = terminal.json_line(answer) if as_json else predictor.line(answer, every)
            echo(told)


def _refuse_both(texts: list[str] | None, file: Path | None) -> None:
    from jpqd.core.errors import UserError

    if texts and file:
        raise UserError(f"--file {file}: texts are given beside it. Give one of the two.")


def _refuse_other_options(writes: bool, *, every: bool, chat: bool, new_tokens: int | None) -> None:
    """Refuse options that this kind of model does not have."""
    from jpqd.core.errors import UserError

    if writes and every:
        raise UserError("--all: for models that classify. This one writes: leave it out.")
    if not writes and (chat or new_tokens):
        option = "--chat" if chat else "--new-tokens"
        raise UserError(f"{option}: for language models. This one classifies: leave it out.")
