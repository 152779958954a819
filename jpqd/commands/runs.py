"""Commands that take a run: `ls`, `verify`, `compare`, `report`, `rm`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jpqd.core.console import (
    DEFAULT_RUNS,
    Debug,
    Json,
    RunName,
    Runs,
    echo,
    errors,
    print_table,
    show,
)
from jpqd.core.errors import JpqdError, UserError

if TYPE_CHECKING:
    from jpqd.run.finder import Run
    from jpqd.run.removal import Removal


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
            for what in entry.unreadable():
                echo(f"warning: {entry.folder}/{what}", err=True)
        if as_json:
            show(True, [_listed(entry) for entry in entries], None)
        elif not entries:
            echo(f"no runs in {runs}", err=True)


def verify(
    name: RunName = None, runs: Runs = DEFAULT_RUNS, as_json: Json = False, debug: Debug = False
) -> None:
    """Hash a run's files again; name each that is not as sealed, and what no hash covers."""
    with errors(debug, as_json):
        from jpqd.report.page import write
        from jpqd.run import finder

        chosen = finder.find(runs, name)
        broken = chosen.damage() + write.damage(chosen)
        left = [name for name in chosen.not_covered() if name not in (write.PAGE, write.MARKDOWN)]
        facts = {"damage": broken, "not_covered": left}
        show(as_json, {"run": str(chosen.folder), **facts}, None)
        if broken:
            raise JpqdError(f"{chosen.folder}: not as sealed\n" + "\n".join(broken))
        if not as_json:
            files = sum(len(stage.files) for stage in chosen.stages)
            echo(f"{chosen.folder}: {len(chosen.stages)} stages, {files} files, all as sealed")
            if left:
                echo(f"no hash covers: {', '.join(left)}")


def compare(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[RUN]...",
            help="Runs or their folders, whose seeds are pooled, or a recipe with `seeds`; "
            "the newest one when not given.",
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
        from jpqd.report import compare_tables

        wanted = [name.strip() for name in stages.split(",")] if stages else None
        comparison = comparing.compare(comparing.find(runs, names or []), baseline, wanted)
        for warning in comparison.warnings():
            echo(f"warning: {warning}", err=True)
        if markdown and not as_json:
            echo(compare_tables.markdown(comparison))
        else:
            show(as_json, comparison.plain(), compare_tables.table(comparison))


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
            echo(path)


def rm(
    name: Annotated[
        str | None, typer.Argument(metavar="RUN", help="A run.", show_default=False)
    ] = None,
    stage: Annotated[str | None, typer.Option(help="Only this stage.")] = None,
    work: Annotated[bool, typer.Option("--work", help="Only checkpoints.")] = False,
    cache: Annotated[
        bool, typer.Option("--cache", help="Instead of a run: the tokenized data of all runs.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    runs: Runs = DEFAULT_RUNS,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Remove a run, one of its stages, checkpoints, or the cache. Says first what is freed."""
    with errors(debug, as_json):
        from jpqd.run import removal

        chosen = _chosen(runs, name, stage, work, cache)
        folders = [str(folder) for folder in chosen.folders]
        freed = f"{', '.join(folders) or 'nothing'}: {chosen.bytes / 1e6:.1f} MB"
        if folders and not yes:
            _ask(freed)
        removal.remove(chosen)
        show(as_json, {"removed": folders, "bytes": chosen.bytes}, None)
        if not as_json:
            echo(f"removed {freed}")


def _chosen(runs: Path, name: str | None, stage: str | None, work: bool, cache: bool) -> "Removal":
    from jpqd.run import removal

    if cache and not (name or stage or work):
        return removal.of_cache(runs)
    if cache or name is None:
        raise UserError("give either a run to remove, or --cache.")
    if work:
        return removal.of_work(runs, name, stage)
    return removal.of_stage(runs, name, stage) if stage else removal.of_run(runs, name)


def _ask(freed: str) -> None:
    try:
        agreed = typer.confirm(f"{freed}. Remove?", err=True)
    except typer.Abort:
        agreed = False
    if not agreed:
        raise UserError("nothing was removed. Answer y, or add --yes.")


def _listed(entry: "Run") -> dict[str, Any]:
    left_out = {"inputs", "files"}
    return {
        "run": str(entry.folder),
        "stages": [stage.model_dump(mode="json", exclude=left_out) for stage in entry.stages],
        "not_sealed": entry.unsealed,
    }
