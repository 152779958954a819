"""`jpqd shrink`: a trained model made small to a target, without a recipe, labels or training."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from jpqd.core.console import (
    DEFAULT_RUNS,
    Debug,
    Json,
    Offline,
    Runs,
    echo,
    errors,
    prepare,
    show,
)

if TYPE_CHECKING:
    from jpqd.core.progress import Progress
    from jpqd.recipe.recipes import Recipe
    from jpqd.report.shrunk import Shrunk


def shrink(
    model: Annotated[
        str,
        typer.Argument(
            help="A trained classifier, regression or embedding model: a folder or a hub's name."
        ),
    ],
    data: Annotated[
        Path,
        typer.Option(metavar="FILE", help="Texts: a .txt with one in each line, or a table."),
    ],
    target: Annotated[
        list[str],
        typer.Option(metavar="NAME=VALUE", help="speedup=2, p50_ms=5 or size_mb=15; two at most."),
    ],
    text: Annotated[
        str | None, typer.Option(metavar="A,B", help="The table's text columns; guessed if not.")
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="The run; by default of the model and the target.")
    ] = None,
    device: Annotated[str, typer.Option(help="Any device of OpenVINO.")] = "CPU",
    threads: Annotated[
        int | None, typer.Option(min=1, help="Threads for a text; all by default.")
    ] = None,
    epochs: Annotated[
        float,
        typer.Option(min=0, help="Passes in which the small model learns the whole one's answers."),
    ] = 0.0,
    seed: Annotated[int, typer.Option(min=0, help="The seed of samples and search.")] = 42,
    recipe_only: Annotated[
        bool, typer.Option("--recipe-only", help="Write and print the recipe; do not run it.")
    ] = False,
    runs: Runs = DEFAULT_RUNS,
    as_json: Json = False,
    offline: Offline = False,
    debug: Debug = False,
) -> None:
    """Shrink a trained model to a target: no recipe, no labels, and no training unless asked."""
    with errors(debug, as_json):
        from jpqd.core import artifact, cpus
        from jpqd.core.progress import Progress
        from jpqd.recipe import recipes
        from jpqd.run import shrinking

        prepare(offline)
        progress = Progress()
        wanted_target = shrinking.target(target)
        named = name or shrinking.default_name(model, wanted_target)
        columns = tuple(part.strip() for part in text.split(",")) if text else ()
        wanted = shrinking.Wanted(
            model, data, columns, wanted_target, named, seed, device, runs, threads, epochs
        )
        cpus.use(None, progress)
        path, said = shrinking.draft(wanted, progress)
        progress.say(said)
        loaded = recipes.load(path)
        if recipe_only:
            echo(path.read_text(encoding="utf-8").rstrip())
            return
        progress.say(f"the recipe: {path}\n{_TIMES}")
        before = artifact.read(runs / named / "bench")
        done = _run(loaded, runs, progress)
        if not epochs and artifact.read(runs / named / "bench") != before:  # else nothing is new
            done = _reach(path, done, runs, progress)
        _show(done, runs / named, as_json, progress)


_TIMES = (
    "the latency table (times) is measured once for this device, this shape and these lengths, and "
    "lies in the runs' cache from then on"
)


def _run(recipe: "Recipe", runs: Path, progress: "Progress") -> "Shrunk":
    """Run the recipe as `jpqd run` does, and write its report."""
    from jpqd.report import shrunk
    from jpqd.report.page import write
    from jpqd.run import finder, runner

    runner.execute(recipe, runs, progress)
    write.write(finder.find(runs, recipe.name), None)
    return shrunk.read(runs / recipe.name)


def _reach(path: Path, done: "Shrunk", runs: Path, progress: "Progress") -> "Shrunk":
    """Plan again with a margin where a time was missed, and make the rest anew."""
    from jpqd.core import files
    from jpqd.core.errors import UserError
    from jpqd.recipe import recipes
    from jpqd.run import shrinking

    for _ in range(shrinking.CORRECTIONS):
        margin = done.further()
        if margin is None:
            break
        missed = next(one for one in done.verdicts() if one.further)
        progress.say(f"{missed}. Once more, with a plan that has a margin of {margin:g}")
        before = path.read_text(encoding="utf-8")
        shrinking.go_further(path, margin)
        try:
            done = _run(recipes.load(path), runs, progress)
        except UserError as error:  # further than the table reaches: what is there stays
            progress.warn(str(error))
            files.write_text(path, before)
            return _run(recipes.load(path), runs, progress)
    return done


def _show(done: "Shrunk", run: Path, as_json: bool, progress: "Progress") -> None:
    """Print the result, the verdict on each target, and where everything lies."""
    show(as_json, done.plain(), done.table(str(run)))
    lines = [*map(str, done.verdicts()), done.left()]
    for line in () if as_json else lines:
        echo(line)
    progress.say(f"The small model's IR lies in {run}/small_ir, everything on one page in "
                 f"{run}/report.html.")  # fmt: skip
