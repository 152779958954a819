"""The keys of the stages that look into a model."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from jpqd.core.manifest import FolderKind
from jpqd.recipe.contracts import Stage
from jpqd.recipe.schema import Count, StageId


class SensitivityOptions(Stage):
    """The worth of each part of a model."""

    makes: ClassVar[FolderKind] = "worth"

    use: Literal["sensitivity"]
    needs: Annotated[tuple[StageId], Field(min_length=1)]
    samples: Count = 512
    """The rows of train for scores, and as many held-out rows on which each part is tried."""
