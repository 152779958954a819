"""The model to export: a stage's folder, or any model folder."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from jpqd.core import artifact
from jpqd.core.errors import UserError
from jpqd.core.manifest import Manifest, ModelFacts
from jpqd.core.names import MANIFEST
from jpqd.recipe import plugins
from jpqd.recipe.task import Task
from jpqd.run import finder


@dataclass(frozen=True)
class Origin:
    """A model folder. Without a task there are no rows to compare on."""

    folder: Path
    task: Task | None
    cache: Path
    from_recipe: bool = False
    """True for the recipe's own model, which no stage made."""
    pairs: bool = False
    """True for a folder whose model reads two texts, which no file of it says."""

    @property
    def texts(self) -> int:
        """The number of texts in a row."""
        return len(self.task.text) if self.task else 1 + self.pairs

    @cached_property
    def manifest(self) -> Manifest | None:
        """The stage's manifest; None for a model folder that no run made."""
        may_lack = self.task is None or self.from_recipe
        if may_lack and not (self.folder / MANIFEST).exists():
            return None
        return artifact.open_sealed(self.folder).manifest

    @cached_property
    def recipe(self) -> dict[str, Any] | None:
        return finder.read_recipe(self.folder.parent)

    @property
    def model_facts(self) -> ModelFacts | None:
        return self.manifest.model if self.manifest else None

    def refuse_unusable(self) -> None:
        """Refuse a stage without a model, or with files that changed since it was sealed."""
        if self.manifest is None:
            return
        if self.manifest.kind != "model":
            raise UserError(
                f"{self.folder} is a stage of `use: {self.manifest.use}`, which makes no model. "
                "Name a trained stage."
            )


def find(root: Path, name: str | None, run: str | None) -> Origin:
    """Find a stage of a run, a folder, or the last trained stage of the newest run."""
    if name and run is None and not _names_a_stage(root, name) and Path(name).exists():
        folder = Path(name).resolve()
        if not (folder / "config.json").is_file():
            raise UserError(f"{name}: there is no config.json, so it holds no model. {_GIVE}")
        return _of_folder(folder, root)
    chosen = finder.find(root, run)
    trained = chosen.of_kind("model")
    if not trained and name is None:
        raise UserError(f"{chosen.folder}: no trained stage is sealed. Run its recipe to the end.")
    if name is not None and name not in chosen.names:
        raise UserError(
            f"{name!r} is neither a model folder nor a stage of {chosen.folder}; "
            f"{plugins.unknown(name, trained)}. For a stage of another run, add --run NAME."
        )
    return _of_folder(chosen.folder / (name or trained[-1]), root)


def _names_a_stage(root: Path, name: str) -> bool:
    """Return whether the newest run has this stage, which comes before a folder of that name."""
    return any(name in run.names for run in finder.runs(root)[:1])


_GIVE = "Give a trained stage's folder, or one with config.json and model.safetensors."


def _of_folder(folder: Path, root: Path) -> Origin:
    run = finder.around(folder)
    if run is None:
        return Origin(folder, None, root / ".cache")
    return Origin(folder, finder.task_of(run), run.parent / ".cache")
