"""The contracts: a Stage turns sealed folders into one folder, a Method joins a training loop."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from jpqd.progress import Progress
from jpqd.schema import Spec, StageId
from jpqd.task import NewModel, Task

if TYPE_CHECKING:
    from torch import Tensor, nn
    from transformers import PreTrainedModel

    Slices = Mapping[nn.Parameter, Callable[[Tensor], Tensor] | None]
    """None: what is kept beside the parameter starts again."""

METHODS = ("jpqd.methods",)
Metrics = dict[str, float]


@dataclass(frozen=True)
class Context:
    """All that a stage may use. It writes to `out`; `work` survives a kill until it is sealed.

    For a method, `model` is the folder or the hub id that the stage's training starts from.
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
    bf16: bool = False
    """Whether a stage that trains multiplies in bf16."""


class Stage(Spec):
    """One step of a recipe: its fields are what can be written there, `run` is what it does."""

    needs_use: ClassVar[tuple[str, ...]] = ("train",)
    """The kinds of stages that `needs` may name."""

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


class Method(Spec):
    """Something that joins a training stage: prune, quantize, distill."""

    use: str

    def inputs(self) -> tuple[str, ...]:
        """Earlier stages that the method reads, such as a teacher."""
        return ()

    def sources(self) -> tuple[str, ...]:
        """Models and tables that the method reads: folders, hub ids, files."""
        return ()

    @abstractmethod
    def attach(self, model: PreTrainedModel, ctx: Context) -> tuple[PreTrainedModel, Hooks]:
        """Prepare the model before the first step; may return another model."""


class Hooks:
    """What a method does while the loop runs. Methods attach in list order, finish in reverse."""

    task_weight: float = 1.0
    """The share of the task's own loss that stays."""

    def prepare(self, batch: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """The batch as the model shall see it."""
        return batch

    def loss(self, batch: Mapping[str, Tensor], out: Any) -> Tensor | None:
        """A term added to the task's loss."""
        return None

    def step(self, progress: float) -> Metrics:
        """Called before each optimizer step with the share of training done; says what to log."""
        return {}

    @property
    def ready(self) -> bool:
        """Whether the model is what was asked for, so that a checkpoint of it may be chosen."""
        return True

    def resized(self) -> Slices | None:
        """Once after `step` changed the model: what slices all that is kept beside a parameter."""
        return None

    def finish(self, model: PreTrainedModel) -> PreTrainedModel:
        """Called once after training: make permanent what was simulated."""
        return model

    def state_dict(self) -> dict[str, Tensor]:
        """What a checkpoint must hold beside the model's own weights."""
        return {}

    def load_state_dict(self, state: dict[str, Tensor], model: PreTrainedModel) -> None:
        """Bring the hooks and the model's shape back, before the weights are loaded."""
