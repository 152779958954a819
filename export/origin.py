"""What is exported: a stage's folder, or any model folder, with what is known of it."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from jpqd import artifact, plugins, report
from jpqd.artifact import Manifest
from jpqd.errors import UserError
from jpqd.task import Task


@dataclass(frozen=True)
class Origin:
    """Without a task there are no rows to measure on."""

    folder: Path
    task: Task | None
    cache: Path

    @cached_property
    def manifest(self) -> Manifest | None:
        return artifact.read(self.folder)

    @cached_property
    def recipe(self) -> dict[str, Any] | None:
        return report.read_recipe(self.folder.parent)

    @property
    def model_facts(self) -> dict[str, Any]:
        found: dict[str, Any] = self.manifest.metrics.get("model", {}) if self.manifest else {}
        return found

    def refuse_unusable(self) -> None:
        """A stage that left no model, or whose files are not what was sealed."""
        if self.manifest is None:
            if (self.folder / artifact.MANIFEST).exists():
                raise UserError(f"{self.folder / artifact.MANIFEST} cannot be read; {_AGAIN}")
            return
        if self.manifest.use != "train":
            raise UserError(
                f"{self.folder} is a stage of `use: {self.manifest.use}`, which leaves no model to "
                "export. Name a trained one."
            )
        if broken := list(artifact.damage(self.folder, self.manifest.files, thorough=True)):
            raise UserError(f"{self.folder} is damaged: {'; '.join(broken[:3])}; {_AGAIN}")


_AGAIN = "run its recipe again, which makes it anew."


def find(root: Path, name: str | None, run: str | None) -> Origin:
    """A stage of a run, a folder, or the last trained stage of the newest run."""
    if name and run is None and not _names_a_stage(root, name) and Path(name).exists():
        folder = Path(name).resolve()
        if not (folder / "config.json").is_file():
            raise UserError(f"{name}: there is no config.json, so it is no model. {_GIVE}")
        return _of_folder(folder, root)
    chosen = report.choose(root, run)
    trained = [stage.stage for stage in chosen.stages if stage.use == "train"]
    if not trained:
        raise UserError(f"{chosen.folder}: no trained stage is sealed. Run its recipe to the end.")
    if name is not None and name not in {stage.stage for stage in chosen.stages}:
        raise UserError(
            f"{name!r} is neither a model folder nor a stage of {chosen.folder}; "
            f"{plugins.unknown(name, trained)}. Another run's: --run NAME."
        )
    return _of_folder(chosen.folder / (name or trained[-1]), root)


def _names_a_stage(root: Path, name: str) -> bool:
    """Of the newest run: then a folder that happens to be called so is not meant."""
    newest = report.runs(root)[:1]
    return any(stage.stage == name for run in newest for stage in run.stages)


_GIVE = "Give a trained stage's folder, or one with config.json and model.safetensors."


def _of_folder(folder: Path, root: Path) -> Origin:
    recipe = report.read_recipe(folder.parent)
    if recipe is None:
        return Origin(folder, None, root / ".cache")
    try:
        task = Task.model_validate(recipe["task"])
    except (KeyError, ValidationError) as error:
        raise UserError(f"{folder.parent / report.RECIPE} cannot be used: {error}") from error
    return Origin(folder, task, folder.parent.parent / ".cache")
