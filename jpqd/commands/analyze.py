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
    from jpqd.recipe.recipes import Recipe
    from jpqd.report.figure_gates import Gate
    from jpqd.run.analyzing import Part, Subject
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
        bool, typer.Option("--forecast", help="Say how long it will take; analyze nothing.")
    ] = False,
    called: Annotated[
        str | None, typer.Option("--name", help="The run that --data makes; DIR_analysis if not.")
    ] = None,
    runs: Runs = DEFAULT_RUNS,
    as_json: Json = False,
    offline: Offline = False,
    debug: Debug = False,
) -> None:  # fmt: skip
    """Look into a run's models: sensitivity, bit widths, robustness. No recipe is needed."""
    with errors(debug, as_json):
        from jpqd.core import cpus
        from jpqd.core.errors import UserError
        from jpqd.core.progress import Progress
        from jpqd.report import figure_gates
        from jpqd.run import analyzing

        prepare(offline)
        wanted, gates = analyzing.chosen(only), [figure_gates.parse(one) for one in gate or []]
        if text and data is None:
            raise UserError("--text names columns of --data. Give that, too.")
        progress = Progress()
        cpus.use(None, progress)
        run = _run(name, data, text, called, runs, progress)
        cpus.use(run.recipe.get("threads"), progress)
        if _analyzed(run, wanted, gates, minutes, forecast, progress):
            _conclude(run, gates, as_json, progress)


def _run(
    name: str | None,
    data: Path | None,
    text: str | None,
    called: str | None,
    runs: Path,
    progress: "Progress",
) -> "Run":
    """Find the run, or make one of a model and a file of rows."""
    from jpqd.core.errors import UserError
    from jpqd.run import analyzing, finder, runner
    from jpqd.run.given_model import Wanted

    if data is None:
        _refuse_a_model(name)
        return finder.find(runs, name)
    if name is None:
        raise UserError("--data goes with a model's folder. Name it, too.")
    columns = tuple(part.strip() for part in text.split(",")) if text else ()
    named = called or analyzing.default_name(name)
    wanted = Wanted("analyze", name, data, columns, runs, named)
    recipe = analyzing.recipe_of_folder(wanted, progress)
    runner.execute(recipe, runs, progress, until=analyzing.LAST)
    return finder.find(runs, str(wanted.run))


def _refuse_a_model(name: str | None) -> None:
    """Refuse a model's folder without rows."""
    from jpqd.core.errors import UserError
    from jpqd.run import finder

    if name is None or finder.is_run(Path(name)) or not (Path(name) / "config.json").is_file():
        return
    if around := finder.around(Path(name)):
        raise UserError(f"{name} is a stage. Analyze its run: jpqd analyze {around}")
    raise UserError(f"{name} is a model that no run made. Give rows for it: --data FILE")


def _analyzed(
    run: "Run",
    wanted: list[str],
    gates: "list[Gate]",
    minutes: float,
    forecast: bool,
    progress: "Progress",
) -> bool:
    """Add stages to the run and run them; return False where only a forecast was asked for."""
    from jpqd.report import figure_gates
    from jpqd.run import analyzing, runner

    subject = analyzing.Subject.of(run, figure_gates.noises(gates))
    lacking = subject.lacks(wanted)
    for use in wanted:
        if use not in lacking:
            progress.say(f"{use}: it is there. Again: jpqd rm {run.folder} --stage NAME")
    coming = subject.models if analyzing.ROBUSTNESS in lacking else None
    figure_gates.check(gates, run.stages, coming)
    if not lacking:
        return not forecast
    recipe = subject.recipe()
    parts = _parts(subject, recipe, lacking, gates, 60 * minutes, progress)
    if parts and not forecast:
        whole = analyzing.with_parts(recipe, parts, run)
        runner.execute(whole, run.folder.parent, progress, until=parts[-1].use)
    return not forecast


def _parts(
    subject: "Subject",
    recipe: "Recipe",
    lacking: list[str],
    gates: "list[Gate]",
    seconds: float,
    progress: "Progress",
) -> "list[Part]":
    """Say what will be done and what will not; refuse where nothing can be, or a gate is lost."""
    from jpqd.core.errors import UserError
    from jpqd.data import sources
    from jpqd.run import analyzing

    pace = analyzing.pace(subject, recipe, progress)
    reasons = {use: subject.why_not(use, pace) for use in lacking}
    names = [use for use in lacking if not reasons[use]]
    report = sources.canonical(recipe.task.report_on)
    parts, left = analyzing.fitted(pace, names, subject.models, report, seconds, subject.noises)
    for part in parts:
        progress.say(f"{part}")
    for use, reason in reasons.items():
        if reason:
            progress.warn(f"{use} is left out: {reason}")
    for part in left:
        progress.warn(f"left out for lack of time, see --minutes: {part}")
    lost = [part.use for part in left if gates and part.use == analyzing.ROBUSTNESS]
    if lost or (left and not parts):
        what = "the gates need robustness, which" if lost else "what is asked for"
        raise UserError(f"{what} does not fit into {seconds / 60:g} minutes. Raise --minutes.")
    return parts


def _conclude(run: "Run", gates: "list[Gate]", as_json: bool, progress: "Progress") -> None:
    """Write the report, print what was found, and check the gates."""
    from rich.console import Group

    from jpqd.core.errors import RunError
    from jpqd.report import figure_gates, terminal
    from jpqd.report.page import analyses, write
    from jpqd.run import analyzing, finder

    run = finder.find(run.folder.parent, str(run.folder))
    write.write(run, None)
    stages = [stage for stage in run.stages if stage.use in analyzing.USES]
    outcomes = figure_gates.outcomes(gates, stages)
    described = {"stages": [stage.model_dump(mode="json") for stage in stages],
                 "gates": [vars(outcome) for outcome in outcomes]}  # fmt: skip
    tables = [terminal.of_page(table) for table in analyses.tables(run)]
    show(as_json, described, Group(*tables))
    for outcome in () if as_json else outcomes:
        echo(str(outcome))
    progress.say(f"All of it on one page: {run.folder}/report.html")
    if lost := list(figure_gates.failed(outcomes)):
        raise RunError(f"{len(lost)} of {len(outcomes)} gates are not kept: {', '.join(lost)}")
