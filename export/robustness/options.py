"""The keys of `use: robustness`."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from jpqd.core.manifest import FolderKind
from jpqd.recipe.contracts import Stage
from jpqd.recipe.schema import Count, Name, Share, StageId, Text


class Options(Stage):
    """Answers of stages and IRs to noisy, other and negated texts, each beside the first one."""

    makes: ClassVar[FolderKind] = "figures"
    needs_kind: ClassVar[tuple[FolderKind, ...]] = ("model", "ir")

    use: Literal["robustness"]
    needs: Annotated[tuple[StageId, ...], Field(min_length=1)]
    """The baseline, and the stages that are compared with it."""
    noise: tuple[Share, ...] = (0.05, 0.1, 0.2)
    """The shares of words with a slip."""
    shift: dict[Name, Text] = {}
    """Other tables with the same labels, by name."""
    attack: Count | None = None
    """Attack so many rows by replacing words; by default none."""

    def sources(self) -> tuple[str, ...]:
        return tuple(self.shift.values())
