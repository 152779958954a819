"""The command line: read arguments, call the library, print. Heavy imports stay inside."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from export import cli as export_cli
from jpqd import __version__
from jpqd.core.console import (
    DEFAULT_RUNS,
    Debug,
    Json,
    Offline,
    RunName,
    Runs,
    errors,
    prepare,
    print_table,
    show,
)
from jpqd.core.errors import JpqdError, RecipeError
from runtime_bench import cli as bench_cli

if TYPE_CHECKING:
    from jpqd.run.finder import Run
    from jpqd.run.plan import Step

app = typer.Typer(
    name="jpqd",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    help="Make transformers small and fast on Intel CPUs and GPUs: "
    "joint pruning, quantization and distillation.",
    epilog="Exit codes: 0 done, 1 a run failed, 2 a mistake in the recipe or the options, "
    "130 or 143 interrupted.",
)

RecipeFile = Annotated[Path, typer.Argument(help="The recipe, a YAML file.", show_default=False)]
Override = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", help="Change the recipe: --set stages.teacher.epochs=1"
    ),
]


@app.command(epilog="Example: `jpqd run recipes/demo.yaml --set seed=7`")
def run(
    recipe: RecipeFile,
    overrides: Override = None,
    runs: Runs = DEFAULT_RUNS,
    as_json: Json = False,
    offline: Offline = False,
    debug: Debug = False,
) -> None:
    """Run a recipe to its end. Run it again to continue; finished stages are not repeated."""
    with errors(debug, as_json):
        from jpqd.core import interrupts, processes
        from jpqd.core.progress import Progress
        from jpqd.recipe import recipes
        from jpqd.report import terminal
        from jpqd.run import runner

        prepare(offline)
        interrupts.install()
        loaded = recipes.load(recipe, tuple(overrides or ()))
        progress = Progress(quiet=not processes.is_main())
        steps = runner.execute(loaded, runs, progress)
        sealed = [step.manifest for step in steps if step.manifest]
        if processes.is_main():
            folder = runs / loaded.name
            show(as_json, _described(steps), terminal.stage_table(str(folder), sealed))
            progress.say(f"Stages with their weights and manifests lie in {folder}/<stage>/.")


@app.command(epilog="Example: `jpqd plan recipes/demo.yaml`")
def plan(
    recipe: RecipeFile,
    overrides: Override = None,
    runs: Runs = DEFAULT_RUNS,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Show what would run and why, what is sealed already, and what each stage needs."""
    with errors(debug, as_json):
        from jpqd.recipe import recipes
        from jpqd.report import terminal
        from jpqd.run import plan as plans

        loaded = recipes.load(recipe, tuple(overrides or ()))
        steps = plans.plan(loaded, runs / loaded.name)
        show(as_json, _described(steps), terminal.plan_table(str(runs / loaded.name), steps))


@app.command(epilog="Example: `jpqd validate recipes/*.yaml`")
def validate(
    recipes: Annotated[list[Path], typer.Argument(help="Recipes.", show_default=False)],
    overrides: Override = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Check recipes without reading models or data. Names every problem of every file."""
    with errors(debug, as_json):
        from jpqd.recipe.recipes import load

        problems = []
        for path in recipes:
            try:
                load(path, tuple(overrides or ()))
            except RecipeError as error:
                problems += error.problems
        if problems:
            raise RecipeError(problems)
        show(as_json, [{"recipe": str(path), "valid": True} for path in recipes], None)
        if not as_json:
            typer.echo(f"{len(recipes)} valid")


@app.command(epilog="Example: `jpqd ls` or `jpqd ls demo --json`")
def ls(
    name: RunName = None, runs: Runs = DEFAULT_RUNS, as_json: Json = False, debug: Debug = False
) -> None:
    """List runs with their stages and metrics."""
    with errors(debug, as_json):
        from jpqd.report import terminal
        from jpqd.run import finder

        entries = [finder.find(runs, name)] if name else finder.runs(runs)
        for entry in () if as_json else entries:
            print_table(terminal.stage_table(str(entry.folder), list(entry.stages), entry.unsealed))
        if as_json:
            show(True, [_listed(entry) for entry in entries], None)
        elif not entries:
            typer.echo(f"no runs in {runs}", err=True)


@app.command(epilog="Example: `jpqd verify demo`")
def verify(
    name: RunName = None, runs: Runs = DEFAULT_RUNS, as_json: Json = False, debug: Debug = False
) -> None:
    """Hash a run's files again and name each one that differs from its manifest."""
    with errors(debug, as_json):
        from jpqd.run import finder

        chosen = finder.find(runs, name)
        broken = chosen.damage()
        show(as_json, {"run": str(chosen.folder), "damage": broken}, None)
        if broken:
            raise JpqdError(
                f"{chosen.folder}: {len(broken)} files are missing or changed\n" + "\n".join(broken)
            )
        if not as_json:
            files = sum(len(stage.files) for stage in chosen.stages)
            typer.echo(
                f"{chosen.folder}: {len(chosen.stages)} stages, {files} files, all as sealed"
            )


@app.command(epilog="Example: `jpqd compare sst2_seed1 sst2_seed2 --baseline teacher`")
def compare(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[RUN]...",
            help="Runs or their folders, whose seeds are pooled; the newest one when not given.",
        ),
    ] = None,
    baseline: Annotated[
        str | None, typer.Option(help="A stage; by default `teacher`, or the first trained stage.")
    ] = None,
    stages: Annotated[
        str | None, typer.Option(metavar="A,B", help="Only these; all when not given.")
    ] = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="A table for GitHub.")] = False,
    runs: Runs = DEFAULT_RUNS,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Compare stages with their baseline on the same rows, with intervals and tests."""
    with errors(debug, as_json):
        from jpqd.report import compare as comparing

        wanted = [name.strip() for name in stages.split(",")] if stages else None
        comparison = comparing.compare(comparing.find(runs, names or []), baseline, wanted)
        for warning in comparison.warnings():
            typer.echo(f"warning: {warning}", err=True)
        if markdown and not as_json:
            typer.echo(comparing.markdown(comparison))
        else:
            show(as_json, comparison.plain(), comparing.table(comparison))


@app.command(epilog="Example: `jpqd report` or `jpqd report demo --out pages`")
def report(
    name: RunName = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="The folder to write; by default the run's folder."),
    ] = None,
    runs: Runs = DEFAULT_RUNS,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Write report.html and report.md of a run from sealed figures, without measuring anything."""
    with errors(debug, as_json):
        from jpqd.report.page import write
        from jpqd.run import finder

        run = finder.find(runs, name)
        written = write.write(run, out)
        show(as_json, {"run": str(run.folder), "files": [str(path) for path in written]}, None)
        for path in () if as_json else written:
            typer.echo(path)


app.command(epilog="Example: `jpqd export --ir` or `jpqd export --ir ptq --shape static:1,128`")(
    export_cli.export
)
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


def _described(steps: "list[Step]") -> list[dict[str, Any]]:
    return [
        {
            "stage": step.id,
            "use": step.stage.use,
            "state": step.status,
            "why": step.why,
            "folder": str(step.folder),
            "fingerprint": step.fingerprint,
            "reads": step.stage.inputs(),
            "disk_bytes": step.disk_bytes,
            "metrics": step.manifest.metrics if step.manifest else None,
        }
        for step in steps
    ]


def _listed(entry: "Run") -> dict[str, Any]:
    left_out = {"inputs", "files"}
    return {
        "run": str(entry.folder),
        "stages": [stage.model_dump(mode="json", exclude=left_out) for stage in entry.stages],
        "not_sealed": entry.unsealed,
    }


if __name__ == "__main__":
    app()
