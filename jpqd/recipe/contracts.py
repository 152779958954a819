"""The contract of a stage: it turns sealed folders into one folder."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from jpqd.core.manifest import FolderKind
from jpqd.core.progress import Progress
from jpqd.recipe.schema import Spec, StageId
from jpqd.recipe.task import NewModel, Task


@dataclass(frozen=True)
class Context:
    """Everything that a stage may use.

    It writes its results to `out`. `work` survives a kill and is removed when the stage is sealed.
    """

    stage: str
    model: str | NewModel
    task: Task
    seed: int
    report_to: tuple[str, ...]
    checkpoint_minutes: float
    inputs: Mapping[str, Path]
    out: Path
    work: Path
    cache: Path
    progress: Progress


class Stage(Spec):
    """One step of a recipe: its fields are the recipe's keys, and `run` does the work."""

    makes: ClassVar[FolderKind]
    """The content of the folder that the stage writes."""
    needs_kind: ClassVar[tuple[FolderKind, ...]] = ("model",)
    """The content that the folders named by `needs` must have."""

    use: str
    needs: tuple[StageId, ...] = ()

    def inputs(self) -> tuple[str, ...]:
        """Return every earlier stage that this one reads: `needs`, and those that methods name."""
        return self.needs

    def kinds(self) -> tuple[tuple[str, tuple[FolderKind, ...]], ...]:
        """Return earlier stages with the content that their folders must have, as far as known."""
        return tuple((name, self.needs_kind) for name in self.needs)

    def start(self) -> str | None:
        """Return the earlier stage whose model replaces the recipe's model."""
        return self.needs[0] if self.needs else None

    def sources(self) -> tuple[str, ...]:
        """Return the models and tables read beside the recipe's own: folders, hub ids, files."""
        return ()

    def disk_bytes(self, weights_bytes: int) -> int:
        """Return the room that the stage needs while it runs, for weights of this size."""
        return 0

    @abstractmethod
    def run(self, ctx: Context) -> dict[str, Any]:
        """Do the work, write files to `ctx.out`, and return the metrics by split."""
