"""Run a plan: skip sealed stages, run the others and seal them."""

import importlib.util
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from jpqd.core import artifact, files, lock, processes, seals
from jpqd.core.errors import UserError
from jpqd.core.manifest import Manifest
from jpqd.core.names import MANIFEST, RECIPE
from jpqd.core.progress import Progress
from jpqd.data import sources
from jpqd.recipe import plugins
from jpqd.recipe.contracts import Context, Stage
from jpqd.recipe.recipes import Recipe, of_run
from jpqd.run import finder
from jpqd.run.plan import Step, plan

_MODULES = {"azure_ml": "azureml", "flyte": "flytekit"}
"""The modules of trackers whose module has another name."""


def execute(recipe: Recipe, runs: Path, progress: Progress, until: str | None = None) -> list[Step]:
    """Run a recipe to its end in `runs/<name>`, or up to and including the stage `until`.

    Skip stages that are sealed and unchanged.
    """
    _check_trackers(recipe)
    count = _stages_until(recipe, until)
    run = runs / recipe.name
    if any(step.status != "sealed" for step in plan(recipe, run)[:count]):
        others = [source for stage in recipe.stages.values() for source in stage.sources()]
        sources.check_hub(recipe.model, recipe.task, others)
        _open_sealed_sources([recipe.model, *others])
    with _holding(run):
        if processes.is_main():
            for name in recipe.stages:
                artifact.recover(run / name)
            seals.write(run / RECIPE, recipe.plain())
        processes.barrier()
        steps = plan(recipe, run)
        processes.barrier()
        for index, step in enumerate(steps[:count]):
            progress.say(f"[{index + 1}/{count}] {step.id}: {announce(step)}")
            if step.status != "sealed":
                _run(step, recipe, steps, progress)
        return plan(recipe, run)


def beside(run: Path, name: str, work: Path, progress: Progress) -> tuple[Stage, Context]:
    """Return a stage of a run with its context, for a process that helps the one which runs it."""
    given = finder.read_recipe(run)
    if not given:
        raise UserError(
            f"{run}: not a run, or not there. Give its folder on this machine: --run DIR"
        )
    recipe = of_run(given, run)
    steps = plan(recipe, run)
    step = next(one for one in steps if one.id == name)
    return step.stage, replace(_context(step, recipe, steps, work, progress), work=work)


def _open_sealed_sources(given: list[object]) -> None:
    """Check the stages of other runs that this recipe reads."""
    for source in given:
        if isinstance(source, str) and (Path(source) / MANIFEST).is_file():
            try:
                artifact.open_sealed(Path(source))
            except UserError as error:
                changed = f"If it was changed on purpose, use a copy without {MANIFEST}."
                raise UserError(f"{error} {changed}") from None


def _stages_until(recipe: Recipe, until: str | None) -> int:
    """Count the stages to run."""
    if until is None:
        return len(recipe.stages)
    if until not in recipe.stages:
        raise UserError(f"--until {until}: no stage has this name; "
                        f"{plugins.unknown(until, recipe.stages)}.")  # fmt: skip
    return list(recipe.stages).index(until) + 1


def announce(step: Step) -> str:
    words = {
        "sealed": "sealed already",
        "new": f"{step.stage.use}",
        "continue": f"{step.stage.use}, continued",
        "changed": f"{step.stage.use} again, because its inputs changed",
        "damaged": f"{step.stage.use} again, because the folder is damaged",
    }
    return words[step.status] + ("" if not step.why else f" ({'; '.join(step.why)})")


@contextmanager
def _holding(run: Path) -> Iterator[None]:
    """Lock the run folder in the first process; the others work beside it."""
    if not processes.is_main():
        yield
        return
    files.make_folder(run, "Choose a folder with --runs.")
    with lock.hold(run):
        yield


def _check_trackers(recipe: Recipe) -> None:
    for tracker in recipe.report_to:
        module = _MODULES.get(tracker, tracker)
        if importlib.util.find_spec(module) is None:
            package = "'jpqd[tensorboard]'" if tracker == "tensorboard" else module
            raise UserError(f"report_to: {tracker} is not installed. Try: pip install {package}")


def _check_room(step: Step, progress: Progress) -> None:
    free = shutil.disk_usage(step.work.parent.parent).free
    if step.disk_bytes and step.disk_bytes > free:
        progress.warn(
            f"{step.id} may need {step.disk_bytes / 1e6:.0f} MB for checkpoints and result, "
            f"but only {free / 1e6:.0f} MB are free; choose another disk with --runs"
        )


def _run(step: Step, recipe: Recipe, steps: list[Step], progress: Progress) -> None:
    files.refuse_links(step.work, step.folder.parent)
    with _partial(step, progress) as partial:
        processes.barrier()
        started = time.monotonic()
        kept = "What is on disk is intact: sealed stages, and checkpoints if there are any."
        with artifact.disk_full_is_clear(step.folder.parent, kept):
            metrics = step.stage.run(_context(step, recipe, steps, partial, progress))
            if processes.is_main():
                _seal(step, partial, metrics, time.monotonic() - started)
        processes.barrier()


@contextmanager
def _partial(step: Step, progress: Progress) -> Iterator[Path]:
    """Yield the folder that the stage writes to; the first process makes and removes it."""
    if not processes.is_main():
        yield step.folder.with_name(step.folder.name + files.PARTIAL)
        return
    _check_room(step, progress)
    step.work.mkdir(parents=True, exist_ok=True)
    with lock.sealing(step.folder, "Choose a folder with --runs.") as partial:
        yield partial


def _context(
    step: Step, recipe: Recipe, steps: list[Step], out: Path, progress: Progress
) -> Context:
    return Context(
        stage=step.id,
        model=recipe.model,
        task=recipe.task,
        seed=recipe.seed,
        report_to=recipe.report_to,
        checkpoint_minutes=recipe.checkpoint_minutes,
        inputs={
            other.id: artifact.open_sealed(other.folder).folder
            for other in steps
            if other.id in step.stage.inputs()
        },
        out=out,
        work=step.work,
        cache=step.folder.parent.parent / ".cache",
        progress=progress,
    )


def _seal(step: Step, partial: Path, metrics: dict[str, object], seconds: float) -> None:
    manifest = Manifest.of(
        step.id,
        step.stage.use,
        step.stage.makes,
        seconds,
        fingerprint=step.fingerprint,
        inputs=step.inputs,
        metrics=metrics,
    )
    artifact.seal(partial, step.folder, manifest)
    for leftover in step.work.parent.glob(f"{step.id}-????????????"):
        shutil.rmtree(leftover, ignore_errors=True)
