"""`jpqd search`: what belongs to a search beside running its recipe."""

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from jpqd.core.console import Debug, Offline, Threads, errors, prepare

if TYPE_CHECKING:
    from jpqd.core.progress import Progress
    from jpqd.search.pool import Pool

app = typer.Typer(no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Share a search with other processes and machines."""


@app.command(epilog="Example: `jpqd search worker --store sqlite:////shared/trials.db`")
def worker(
    store: Annotated[
        str, typer.Option(metavar="URL", envvar="JPQD_STORE", help="The database of trials.")
    ],
    run: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="The run's folder here, where it is not the search's."),
    ] = None,
    threads: Threads = None,
    offline: Offline = False,
    debug: Debug = False,
) -> None:
    """Run structures of the search that uses this store, until it ends."""
    with errors(debug, False):
        from jpqd.core import cpus
        from jpqd.core.progress import Progress
        from jpqd.search import pool

        prepare(offline)
        progress = Progress()
        cpus.use(threads, progress)
        joined = pool.join(store)
        folder = run or Path(joined.about["run"])
        progress.say(f"{joined.about['stage']} of {folder}")
        with tempfile.TemporaryDirectory() as scratch:
            done = _work(joined, folder, Path(scratch), progress)
        progress.say(f"the search has ended; {done} structures were run here")


def _work(joined: "Pool", folder: Path, scratch: Path, progress: "Progress") -> int:
    from jpqd.run import runner
    from jpqd.search import worker
    from jpqd.search.options import SearchOptions

    stage, ctx = runner.beside(folder, joined.about["stage"], scratch, progress)
    assert isinstance(stage, SearchOptions)
    return worker.work(stage, ctx, joined)
