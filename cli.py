"""The command line: every command of `jpqd`, with an example of each."""

from jpqd.core import interrupts

interrupts.end_at_once()

from typing import Annotated

import typer

from export import cli as export_cli
from jpqd import __version__
from jpqd.commands import analyze, init, recipes, runs, search, shrink
from runtime_bench import cli as bench_cli

app = typer.Typer(
    name="jpqd",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Make transformers small and fast on Intel CPUs and GPUs: "
    "joint pruning, quantization and distillation.",
    epilog="Exit codes: 0 done, 1 a run failed, 2 a mistake in the recipe or the options, "
    "129, 130 or 143 interrupted.",
)

app.command(epilog="Example: `jpqd init --model DIR --data train.csv`")(init.init)
app.command(epilog="Example: `jpqd shrink DIR --data texts.txt --target speedup=2`")(shrink.shrink)
app.command(epilog="Example: `jpqd run recipes/demo.yaml --set seed=7`")(recipes.run)
app.command(epilog="Example: `jpqd plan recipes/demo.yaml`")(recipes.plan)
app.add_typer(search.app, name="search")
app.command(epilog="Example: `jpqd validate recipes/*.yaml`")(recipes.validate)
app.command(epilog="Example: `jpqd ls` or `jpqd ls demo --json`")(runs.ls)
app.command(epilog="Example: `jpqd verify demo`")(runs.verify)
app.command(epilog="Example: `jpqd analyze demo --gate 'robustness.noise_10.drop<=1'`")(
    analyze.analyze
)
app.command(epilog="Example: `jpqd compare sst2_seed1 sst2_seed2 --baseline teacher`")(runs.compare)
app.command(epilog="Example: `jpqd report` or `jpqd report demo --out pages`")(runs.report)
app.command(epilog="Example: `jpqd rm demo` or `jpqd rm demo --stage ptq`")(runs.rm)
app.command(epilog="Example: `jpqd export --ir` or `jpqd export --ir ptq --shape static:1,128`")(
    export_cli.export
)
app.command(epilog="Example: `jpqd evaluate jpqd_ir --data new_rows.csv`")(export_cli.evaluate)
app.command(epilog='Example: `jpqd predict runs/demo/jpqd_ir "The film is hardly a joke."`')(
    export_cli.predict
)
app.command(epilog="Example: `jpqd bench --device CPU --gate 'speedup>=4'`")(bench_cli.bench)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"jpqd {__version__}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Make transformers small and fast on Intel CPUs and GPUs."""


if __name__ == "__main__":
    app()
