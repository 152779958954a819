"""What `jpqd bench` was pointed at: a run, or folders; and the rows that go with it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from jpqd import report
from jpqd.artifact import Manifest
from jpqd.errors import UserError
from jpqd.task import Task


@dataclass(frozen=True)
class Source:
    """Folders by name, and the run that they belong to."""

    folders: dict[str, Path]
    baseline: str
    run: Path | None
    whole: bool = False
    """Whether the run itself was named, and not just folders in it."""


def find(names: Sequence[str], runs: Path, baseline: str | None) -> Source:
    """The newest run when nothing is named; one run; or any folders."""
    if len(names) <= 1 and (not names or _is_run(names[0], runs)):
        return _of_run(_run(names, runs), baseline)
    folders: dict[str, Path] = {}
    for name in names:
        folder = Path(name)
        if not folder.is_dir():
            raise UserError(
                f"{name}: no run in {runs} and no folder. Name one run, or folders of stages, IRs "
                "or models."
            )
        folders[_short(folder, folders)] = folder
    first = next(iter(folders))
    return Source(folders, baseline or first, _run_around(folders[first]))


def _is_run(name: str, runs: Path) -> bool:
    return (runs / name / report.RECIPE).is_file() or (Path(name) / report.RECIPE).is_file()


def _run(names: Sequence[str], runs: Path) -> report.Run:
    if names and (Path(names[0]) / report.RECIPE).is_file():
        folder = Path(names[0]).resolve()
        return report.choose(folder.parent, folder.name)
    return report.choose(runs, names[0] if names else None)


def _of_run(run: report.Run, baseline: str | None) -> Source:
    """The baseline is `teacher`, or the first that was trained; with it every IR."""
    trained = [stage.stage for stage in run.stages if stage.use == "train"]
    sealed = [stage.stage for stage in run.stages]
    if not trained and baseline is None:
        raise UserError(f"{run.folder}: no trained stage is sealed yet. jpqd run makes one.")
    chosen = (baseline or ("teacher" if "teacher" in trained else trained[0])).partition(":")[0]
    if chosen not in sealed:
        raise UserError(
            f"--baseline {chosen}: {run.folder} has no such stage: {', '.join(sealed)}."
        )
    names = dict.fromkeys([chosen, *_irs(run)])
    return Source({name: run.folder / name for name in names}, baseline or chosen, run.folder, True)


def _irs(run: report.Run) -> list[str]:
    """In the order of the stages that they were made of, so that the last is what a run is for."""
    order = list((report.read_recipe(run.folder) or {}).get("stages", ()))

    def place(stage: Manifest) -> int:
        made_of = stage.inputs.get("stage", {}).get("needs", ())
        return max((order.index(name) for name in made_of if name in order), default=len(order))

    return [stage.stage for stage in sorted(run.stages, key=place) if stage.use == "ov_ir"]


def _short(folder: Path, taken: dict[str, Path]) -> str:
    resolved = folder.resolve()
    return (
        resolved.name if resolved.name not in taken else f"{resolved.parent.name}/{resolved.name}"
    )


def _run_around(folder: Path) -> Path | None:
    parent = folder.resolve().parent
    return parent if (parent / report.RECIPE).is_file() else None


def task_of(run: Path) -> Task:
    recipe = report.read_recipe(run) or {}
    try:
        return Task.model_validate(recipe.get("task"))
    except ValidationError as error:
        raise UserError(f"{run / report.RECIPE} cannot be used: {error}") from error
