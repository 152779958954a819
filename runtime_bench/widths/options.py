"""The keys of `use: bit_widths`."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from jpqd.core.manifest import FolderKind
from jpqd.recipe.contracts import Stage
from jpqd.recipe.schema import Count, Positive, StageId

_COPIES = 5
"""The IRs on disk together, as copies of the model in f32: whole, two halves, fewer bits."""


class Options(Stage):
    """One model at every number of bits: size, memory, speed and answers."""

    makes: ClassVar[FolderKind] = "figures"

    use: Literal["bit_widths"]
    needs: Annotated[tuple[StageId], Field(min_length=1)]
    """A trained stage without quantizers."""
    group_sizes: Annotated[tuple[Literal[16, 32, 64, 128, 256], ...], Field(min_length=1)] = (64,)
    """The weights that share a scale in 4 and 2 bits."""
    samples: Count = 1000
    """The held-out rows that are answered, at most."""
    seconds: Positive = 60.0
    """The time that measuring may take, without building and loading the models."""
    threads: Count | None = None
    """The threads of every model; by default all that this process may use."""

    def disk_bytes(self, weights_bytes: int) -> int:
        return _COPIES * weights_bytes
