"""The contract of a method: what it is given, and what it does while the loop runs."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jpqd.core.manifest import FolderKind
from jpqd.recipe.contracts import Context
from jpqd.recipe.schema import Spec

if TYPE_CHECKING:
    from torch import Tensor, nn
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from jpqd.data.batching import Collate
    from jpqd.data.splits import Data
    from jpqd.tasks import Kind

    Slices = Mapping[nn.Parameter, Callable[[Tensor], Tensor] | None]
    """None: what is kept beside the parameter starts again."""

METHODS = ("jpqd.methods",)
Metrics = dict[str, float]


@dataclass(frozen=True)
class Training:
    """The network's surroundings that a training stage hands to its methods."""

    ctx: Context
    tokenizer: PreTrainedTokenizerBase
    data: Data
    bf16: bool
    """True where the stage multiplies in bf16."""
    trains: bool = True
    """False where no step is taken."""

    @property
    def stage(self) -> str:
        return self.ctx.stage

    @property
    def kind(self) -> Kind:
        return self.data.kind

    def collator(self) -> Collate:
        from jpqd.data import batching

        return batching.collator(self.tokenizer, self.kind)


class Method(Spec):
    """Something that joins a training stage: prune, quantize, distill."""

    use: str

    def inputs(self) -> tuple[str, ...]:
        """Earlier stages that the method reads, such as a teacher."""
        return ()

    def kinds(self) -> tuple[tuple[str, tuple[FolderKind, ...]], ...]:
        """Return those of them whose folders must have a certain content, with that."""
        return ()

    def sources(self) -> tuple[str, ...]:
        """Models, tables and texts that the method reads: folders, hub ids, files."""
        return ()

    def more_texts(self) -> tuple[str, ...]:
        """Files of texts without labels that become rows of train."""
        return ()

    @abstractmethod
    def attach(self, model: PreTrainedModel, training: Training) -> tuple[PreTrainedModel, Hooks]:
        """Prepare the model before the first step; may return another model."""


class Hooks:
    """A method's part in the loop. Methods attach in list order and finish in reverse."""

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
        """Return whether the model is what was asked for, so that a checkpoint may be chosen."""
        return True

    def resized(self) -> Slices | None:
        """Return, once after `step` changed the model, how to slice what is kept by parameter."""
        return None

    def finish(self, model: PreTrainedModel) -> PreTrainedModel:
        """Called once after training: make permanent what was simulated."""
        return model

    def state_dict(self) -> dict[str, Tensor]:
        """Return what a checkpoint must hold beside the model's own weights."""
        return {}

    def load_state_dict(self, state: dict[str, Tensor], model: PreTrainedModel) -> None:
        """Bring the hooks and the model's shape back, before the weights are loaded."""
