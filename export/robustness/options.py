"""The keys of `use: robustness`."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field, field_validator

from jpqd.core.manifest import FolderKind
from jpqd.recipe.contracts import Stage
from jpqd.recipe.schema import Count, Name, Share, StageId, Text, mistake

_TAKEN = ("clean", "choosing", "short", "middle", "long", "negation", "attack")
"""The names of the conditions and parts that every stage has."""


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

    @field_validator("shift")
    @classmethod
    def _own_names(cls, shift: dict[str, str]) -> dict[str, str]:
        for name in shift:
            if name in _TAKEN or name.startswith(("noise ", "label ", "attack ")):
                raise mistake(f"{name!r} is the name of other figures", "Give another name.")
        return shift

    def sources(self) -> tuple[str, ...]:
        return tuple(self.shift.values())
