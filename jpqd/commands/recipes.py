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
    echo,
    errors,
    prepare,
    show,
)
from jpqd.core.errors import Problem, RecipeError

if TYPE_CHECKING:
    from jpqd.core.progress import Progress
    from jpqd.recipe.recipes import Recipe
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
        from rich.console import Group

        from jpqd.core import cpus, processes
        from jpqd.core.progress import Progress
        from jpqd.recipe import recipes
        from jpqd.report import bench_tables, terminal
        from jpqd.run import runner

        prepare(offline)
        loaded = recipes.load(recipe, tuple(overrides or ()))
        progress = Progress(quiet=not processes.is_main())
        cpus.use(threads or loaded.threads, progress)
        described, tables = [], []
        for one in loaded.of_each_seed():
            if loaded.seeds:
                progress.say(f"{one.name}: seed {one.seed}")
            steps = runner.execute(one, runs, progress, until)
            described += _described(one, steps)
            sealed = [step for step in steps if step.status == "sealed"]
            manifests = [step.manifest for step in sealed if step.manifest]
            tables.append(terminal.stage_table(str(runs / one.name), manifests))
            tables += bench_tables.of_folders(step.folder for step in sealed)
            if stale := [step.id for step in steps if step.status == "changed"]:
                progress.warn(f"of what this recipe was before: {', '.join(stale)}. Run it again.")
        if processes.is_main():
            show(as_json, described, Group(*tables))
            _say_where(loaded, runs, progress)


def _say_where(recipe: "Recipe", runs: Path, progress: "Progress") -> None:
    folders = runs / (f"{recipe.name}_seed*" if recipe.seeds else recipe.name)
    progress.say(f"Stages with their weights and manifests lie in {folders}/<stage>/.")
    if recipe.seeds:
        progress.say(f"The stages over all seeds: jpqd compare {recipe.name}")
    for one in recipe.of_each_seed():
        progress.say(f"All of it on one page: jpqd report {runs / one.name}")


def plan(
    recipe: RecipeFile,
    overrides: Override = None,
    runs: Runs = DEFAULT_RUNS,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Show what would run and why, what is sealed already, and what each stage needs."""
    with errors(debug, as_json):
        from rich.console import Group

        from jpqd.recipe import recipes
        from jpqd.report import terminal
        from jpqd.run import estimate
        from jpqd.run import plan as plans

        described, tables = [], []
        for one in recipes.load(recipe, tuple(overrides or ())).of_each_seed():
            steps = plans.plan(one, runs / one.name)
            times = estimate.of_steps(one, steps, runs)
            for step in _described(one, steps):
                described.append({**step, "seconds": times.get(step["stage"], (None,))[0]})
            tables.append(terminal.plan_table(str(runs / one.name), steps, times))
        show(as_json, described, Group(*tables))


def validate(
    recipes: Annotated[list[Path], typer.Argument(help="Recipes.", show_default=False)],
    overrides: Override = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Check recipes without reading models or data. Names every problem of every file."""
    with errors(debug, as_json):
        from jpqd.recipe.recipes import load

        problems: list[Problem] = []
        valid: list[dict[str, Any]] = []
        for path in recipes:
            try:
                found = load(path, tuple(overrides or ()))
                names = [one.name for one in found.of_each_seed()]
                valid.append({"recipe": str(path), "valid": True, "runs": names})
            except RecipeError as error:
                problems += error.problems
        if problems:
            raise RecipeError(problems)
        show(as_json, valid, None)
        if not as_json:
            for entry in valid:
                if len(entry["runs"]) > 1:
                    echo(f"{entry['recipe']}: the runs {', '.join(entry['runs'])}")
            echo(f"{len(recipes)} valid")


def _described(recipe: "Recipe", steps: "list[Step]") -> list[dict[str, Any]]:
    return [
        {
            "run": recipe.name,
            "seed": recipe.seed,
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
