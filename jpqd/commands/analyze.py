"""`jpqd analyze`: what each part of a model is worth, its bits, and what accuracy hides."""

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
    from jpqd.report.figure_gates import Gate
    from jpqd.run.finder import Run


def analyze(
    name: Annotated[
        str | None,
        typer.Argument(metavar="[RUN|DIR]", help="A run, or a trained classifier's folder.",
                       show_default=False),
    ] = None,
    data: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Rows for a model that no run made.")
    ] = None,
    text: Annotated[
        str | None, typer.Option(metavar="A,B", help="Their text columns; guessed if not.")
    ] = None,
    minutes: Annotated[float, typer.Option(min=0.1, help="The time that it may take.")] = 30.0,
    only: Annotated[
        str | None, typer.Option(metavar="A,B", help="sensitivity, bit_widths, robustness.")
    ] = None,
    gate: Annotated[
        list[str] | None, typer.Option(help="robustness.noise_10.drop<=1; exit 1 if not.")
    ] = None,
    forecast: Annotated[
        bool, typer.Option("--forecast", help="Say how long it will take, and do nothing.")
    ] = False,
    runs: Runs = DEFAULT_RUNS,
    as_json: Json = False,
    offline: Offline = False,
    debug: Debug = False,
) -> None:  # fmt: skip
    """Look into a run's models: sensitivity, bit widths, robustness. No recipe is needed."""
    with errors(debug, as_json):
        from jpqd.core import cpus
        from jpqd.core.progress import Progress
        from jpqd.report import figure_gates
        from jpqd.run import analyzing

        prepare(offline)
        wanted, gates = analyzing.chosen(only), [figure_gates.parse(one) for one in gate or []]
        progress = Progress()
        cpus.use(None, progress)
        run = _run(name, data, text, runs, progress)
        figure_gates.check_names(gates, run.stages, wanted)
        if _analyzed(run, wanted, minutes, forecast, progress):
            _conclude(run, gates, as_json, progress)


def _run(
    name: str | None, data: Path | None, text: str | None, runs: Path, progress: "Progress"
) -> "Run":
    """Find the run, or make one of a model and a file of rows."""
    from jpqd.core.errors import UserError
    from jpqd.run import analyzing, finder, runner
    from jpqd.run.given_model import Wanted

    if data is None:
        if name and not finder.is_run(Path(name)) and (Path(name) / "config.json").is_file():
            raise UserError(f"{name} is a model that no run made. Give rows for it: --data FILE")
        return finder.find(runs, name)
    if name is None:
        raise UserError("--data goes with a model's folder. Name it, too.")
    columns = tuple(part.strip() for part in text.split(",")) if text else ()
    wanted = Wanted("analyze", name, data, columns, runs, analyzing.default_name(name))
    if not finder.is_run(wanted.run):
        runner.execute(analyzing.recipe_of_folder(wanted, progress), runs, progress)
    return finder.find(runs, str(wanted.run))


def _analyzed(
    run: "Run", wanted: list[str], minutes: float, forecast: bool, progress: "Progress"
) -> bool:
    """Add stages to the run and run them; return False where only a forecast was asked for."""
    from jpqd.core.errors import UserError
    from jpqd.run import analyzing, runner

    names = analyzing.missing(run, wanted)
    for use in wanted:
        if use not in names:
            progress.say(f"{use} is there already. To do it again: jpqd rm {run.folder} --stage "
                         f"{analyzing.stage_of(run, use)}")  # fmt: skip
    if not names:
        return not forecast
    recipe = analyzing.recipe_of(run)
    base = analyzing.subject(run)
    pace = analyzing.pace(run, base, recipe, progress)
    needs = analyzing.compared(run, base)
    parts, left = analyzing.fitted(pace, names, needs, recipe.task.report_on, 60 * minutes)
    for part in parts:
        progress.say(f"{part}")
    for part in left:
        progress.warn(f"left out, as --minutes is {minutes:g}: {part}")
    if not parts:
        raise UserError(f"nothing fits into {minutes:g} minutes. Raise --minutes.")
    if not forecast:
        runner.execute(analyzing.with_parts(recipe, parts), run.folder.parent, progress)
    return not forecast


def _conclude(run: "Run", gates: "list[Gate]", as_json: bool, progress: "Progress") -> None:
    """Write the report, print what was found, and check the gates."""
    from jpqd.core.errors import RunError
    from jpqd.report import figure_gates, terminal
    from jpqd.report.page import write
    from jpqd.run import analyzing, finder

    run = finder.find(run.folder.parent, str(run.folder))
    write.write(run, None)
    stages = [stage for stage in run.stages if stage.use in analyzing.USES]
    outcomes = figure_gates.outcomes(gates, stages)
    described = {"stages": [stage.model_dump(mode="json") for stage in stages],
                 "gates": [vars(outcome) for outcome in outcomes]}  # fmt: skip
    show(as_json, described, terminal.stage_table(str(run.folder), stages))
    for outcome in () if as_json else outcomes:
        echo(str(outcome))
    progress.say(f"All of it on one page: {run.folder}/report.html")
    if lost := list(figure_gates.failed(outcomes)):
        raise RunError(f"{len(lost)} of {len(outcomes)} gates are not kept: {', '.join(lost)}")
