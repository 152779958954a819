"""Commands that take a recipe: `run`, `plan`, `validate`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

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
    print_table,
    show,
)
from jpqd.core.errors import RecipeError

if TYPE_CHECKING:
    from jpqd.run.plan import Step

RecipeFile = Annotated[Path, typer.Argument(help="The recipe, a YAML file.", show_default=False)]
Override = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", help="Change the recipe: --set stages.teacher.epochs=1"
    ),
]


def run(
    recipe: RecipeFile,
    overrides: Override = None,
    until: Annotated[
        str | None,
        typer.Option(metavar="STAGE", help="The last stage to run; by default the recipe's last."),
    ] = None,
    threads: Threads = None,
    runs: Runs = DEFAULT_RUNS,
    as_json: Json = False,
    offline: Offline = False,
    debug: Debug = False,
) -> None:
    """Run a recipe to its end. Run it again to continue; finished stages are not repeated."""
    with errors(debug, as_json):
        from jpqd.core import cpus, interrupts, processes
        from jpqd.core.progress import Progress
        from jpqd.recipe import recipes
        from jpqd.report import bench_tables, terminal
        from jpqd.run import runner

        prepare(offline)
        interrupts.install()
        loaded = recipes.load(recipe, tuple(overrides or ()))
        progress = Progress(quiet=not processes.is_main())
        cpus.use(threads or loaded.threads, progress)
        steps = runner.execute(loaded, runs, progress, until)
        sealed = [step.manifest for step in steps if step.manifest]
        if processes.is_main():
            folder = runs / loaded.name
            show(as_json, _described(steps), terminal.stage_table(str(folder), sealed))
            for table in () if as_json else bench_tables.of_folders(s.folder for s in steps):
                print_table(table)
            progress.say(f"Stages with their weights and manifests lie in {folder}/<stage>/.")
            progress.say(f"All of it on one page: jpqd report {folder}")


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
