"""The keys of `use: search`."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, ValidationInfo, field_validator

from jpqd.core.manifest import FolderKind
from jpqd.recipe import plugins
from jpqd.recipe.contracts import Stage
from jpqd.recipe.schema import Count, Name, NonNegative, Positive, Spec, StageId, mistake

STRATEGIES = ("jpqd.search.strategies",)


class Target(Spec):
    """One or two of these, to be reached together."""

    speedup: Annotated[float | None, Field(gt=1, lt=1e4)] = None
    """The time of the model in INT8, before the cut, through that of the result."""
    p50_ms: Positive | None = None
    """The time that half of the task's texts do not exceed, by the latency table."""
    size_mb: Positive | None = None
    accuracy_drop: Annotated[NonNegative | None, Field(validate_default=True)] = None
    """The points of the main figure that may be lost, on the rows that the search sees."""

    @field_validator("accuracy_drop")
    @classmethod
    def _one_or_two(cls, drop: float | None, others: ValidationInfo) -> float | None:
        given = [name for name, value in others.data.items() if value is not None]
        count = len(given) + (drop is not None)
        if count == 0 and len(others.data) == _OTHERS:
            raise mistake("is missing, as is every other target", "Give target: {speedup: 2}.")
        if count > 2:
            raise mistake("is one of more than two targets", "Keep the two that matter most.")
        return drop

    def given(self) -> dict[str, float]:
        return {name: value for name, value in self.plain().items() if value is not None}


_OTHERS = 3
"""The targets beside the last one. Fewer are seen where one of them is not valid itself."""


class SearchOptions(Stage):
    """Finds what shall stay in each layer of a model, for a time, a size or a loss."""

    makes: ClassVar[FolderKind] = "plan"

    use: Literal["search"]
    needs: Annotated[tuple[StageId, ...], Field(min_length=2, max_length=2)]
    """The model, and the latency table of its shape."""
    target: Target
    strategy: Name = "dp"
    precision: Name = "int8"
    """The precision in which the model will run, by its name in the latency table."""
    evaluations: Count = 16
    """The structures that are cut out and run, at most."""
    minutes: Positive = 30.0
    """The time after which no further structure is tried."""
    samples: Count = 512
    """Rows of train that units are scored on, and rows held out of train that candidates run on."""

    @field_validator("strategy")
    @classmethod
    def _known(cls, strategy: str) -> str:
        known = plugins.names(STRATEGIES)
        if strategy not in known:
            raise mistake("no strategy has this name", plugins.advice(strategy, known))
        return strategy

    def kinds(self) -> tuple[tuple[str, tuple[FolderKind, ...]], ...]:
        model, table = self.needs
        return (model, ("model",)), (table, ("table",))
