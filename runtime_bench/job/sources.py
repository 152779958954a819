"""The source of a benchmark: a run, or folders, and the run that they belong to."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jpqd.core.errors import UserError
from jpqd.run import finder
from jpqd.run.finder import Run
from runtime_bench.backends.llama_cpp import SUFFIX
from runtime_bench.job import arms


@dataclass(frozen=True)
class Source:
    """Folders by name, and the run that they belong to."""

    folders: dict[str, Path]
    baseline: str
    run: Path | None
    whole: bool = False
    """True where the run itself was named, and not just folders in it."""


def find(names: Sequence[str], runs: Path, baseline: str | None) -> Source:
    """Find the newest run where nothing is named, or one run, or any folders."""
    if len(names) <= 1 and (not names or _is_run(names[0], runs)):
        return _of_run(finder.find(runs, names[0] if names else None), baseline)
    folders: dict[str, Path] = {}
    for name in names:
        folder = Path(name)
        if not folder.is_dir() and not (folder.suffix == SUFFIX and folder.is_file()):
            raise UserError(
                f"{name}: neither a run in {runs} nor a folder. Give one run, or folders of "
                "stages, IRs or models, or the .gguf files of language models."
            )
        folders[_short(folder, folders)] = folder
    if next(iter(folders.values())).suffix == SUFFIX:
        raise UserError(
            f"{names[0]}: it has no tokenizer that others can use. Give the folder of the same "
            "model first: jpqd bench FOLDER MODEL.gguf"
        )
    around = (finder.around(folder) for folder in folders.values())
    run = next((found for found in around if found), None)
    return Source(folders, baseline or next(iter(folders)), run)


def _is_run(name: str, runs: Path) -> bool:
    return finder.is_run(runs / name) or finder.is_run(Path(name))


def _of_run(run: Run, baseline: str | None) -> Source:
    """Return the baseline (`teacher`, or the first trained stage) and every IR.

    Those that are laid out for a model server are left out.
    """
    if not (run.of_kind("model") or run.of_kind("ir")) and baseline is None:
        raise UserError(
            f"{run.folder}: no trained stage is sealed yet. Run its recipe with jpqd run."
        )
    chosen = (baseline or _trained(run)).partition(":")[0]
    if chosen not in run.names:
        raise UserError(
            f"--baseline {chosen}: {run.folder} has no such stage. Stages: {', '.join(run.names)}."
        )
    irs = [one.stage for one in run.in_order() if one.kind == "ir" and not arms.is_served(one)]
    names = dict.fromkeys([chosen, *irs])
    return Source({name: run.folder / name for name in names}, baseline or chosen, run.folder, True)


def _trained(run: Run) -> str:
    """Return the run's baseline if it is sealed, or else any trained stage."""
    wanted = run.baseline()
    return wanted if wanted in run.names else (run.of_kind("model") or run.of_kind("ir"))[0]


def _short(folder: Path, taken: dict[str, Path]) -> str:
    """Return the end of a path that no other folder has yet."""
    parts = folder.resolve().parts
    names = ["/".join(parts[start:]) for start in range(len(parts) - 1, 0, -1)]
    free = [name for name in names if name not in taken]
    if not free:
        raise UserError(f"{folder}: it is named twice. Leave one of them out.")
    return free[0]
