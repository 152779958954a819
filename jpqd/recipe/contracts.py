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
    """All that a stage may use. It writes to `out`; `work` survives a kill until it is sealed."""

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
    """One step of a recipe: its fields are what can be written there, `run` is what it does."""

    makes: ClassVar[FolderKind]
    """What lies in the folder that it leaves."""
    needs_kind: ClassVar[tuple[FolderKind, ...]] = ("model",)
    """What must lie in the folders that `needs` names."""

    use: str
    needs: tuple[StageId, ...] = ()

    def inputs(self) -> tuple[str, ...]:
        """Every earlier stage that is read: `needs` and what methods refer to."""
        return self.needs

    def start(self) -> str | None:
        """The earlier stage that takes the place of the recipe's model."""
        return self.needs[0] if self.needs else None

    def sources(self) -> tuple[str, ...]:
        """Models and tables that are read beside the recipe's own: folders, hub ids, files."""
        return ()

    def disk_bytes(self, weights_bytes: int) -> int:
        """Room that the stage needs while it runs, for weights of this size."""
        return 0

    @abstractmethod
    def run(self, ctx: Context) -> dict[str, Any]:
        """Do the work, leave files in `ctx.out`, return the metrics by split."""
