"""The keys of `use: latency_table`."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field, field_validator

from jpqd.core.manifest import FolderKind
from jpqd.recipe.contracts import Stage
from jpqd.recipe.schema import Count, Positive, StageId, Text, mistake

GROUP = 10
"""The most models that are on disk and in memory together."""

PrecisionName = Literal["int8", "default", "f32"]


_KINDS: tuple[tuple[FolderKind, ...], ...] = (("model",), ("table",), ("plan",))


class Options(Stage):
    """The time of each part of a model on a device, from which any pruned one is predicted."""

    makes: ClassVar[FolderKind] = "table"

    use: Literal["latency_table"]
    needs: Annotated[tuple[StageId, ...], Field(min_length=1, max_length=3)]
    """A stage with the family and the sizes; its weights do not matter. Then, or not, an earlier
    table and a plan that was found with it, near which this table shall be right."""
    device: Text = "CPU"
    length: Count | None = None
    """Tokens of every text; by default the lengths of train's texts."""
    precisions: Annotated[tuple[PrecisionName, ...], Field(min_length=1)] = ("int8", "default")
    """int8: with quantizers. default: what the device makes of a model without them."""
    seconds: Positive = 240.0
    """The time that measuring may take, without building and loading the models."""
    threads: Count | None = None
    """The threads of the device; by default all that this process may use."""

    @field_validator("needs")
    @classmethod
    def _both(cls, needs: tuple[str, ...]) -> tuple[str, ...]:
        if len(needs) == len(_KINDS) - 1:
            raise mistake("names a table without a plan", "Give a model, or all three of them.")
        return needs

    def kinds(self) -> tuple[tuple[str, tuple[FolderKind, ...]], ...]:
        return tuple(zip(self.needs, _KINDS, strict=False))

    def disk_bytes(self, weights_bytes: int) -> int:
        return GROUP * weights_bytes
