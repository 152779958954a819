"""The keys of `use: search`."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, ValidationInfo, field_validator

from jpqd.core.manifest import FolderKind
from jpqd.recipe import plugins
from jpqd.recipe.contracts import Context, Stage
from jpqd.recipe.schema import (
    Count,
    Fraction,
    Name,
    NonNegative,
    Positive,
    Spec,
    StageId,
    Text,
    is_stage,
    mistake,
)
from jpqd.recipe.task import looks_local
from jpqd.training.options import AnyMethod, TrainOptions

STRATEGIES = ("jpqd.search.strategies",)
POLICY = "policy.json"
"""The file that tells what an agent's weights are, and their hash."""
_AGENT = "agent"


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


class Reward(Spec):
    """The weights of what `strategy: agent` learns for."""

    retention: NonNegative = 1.0
    """The weight of exp(-KL): how far the cut model says what the whole one says."""
    compression: NonNegative = 0.05
    """The weight of the share of the file's size that is gone."""
    speedup: NonNegative = 0.05
    """The weight of the logarithm of how many times as fast the cut model is."""
    floor: Fraction = 0.9
    """The retention below which a model is punished, ..."""
    shortfall: NonNegative = 1.0
    """... and by how much for what it is short of it."""


class Finals(TrainOptions):
    """The training of the best few models, after which the nearest to the whole one is chosen."""

    use: Literal["train"] = "train"
    count: Annotated[Count, Field(ge=2)] = 3
    """The models that are trained, the best of the search."""
    epochs: NonNegative = 0.5

    @field_validator("needs", "student", "completions")
    @classmethod
    def _given_by_the_search(cls, given: Any) -> Any:
        if given:
            raise mistake("the search says what is trained, and on what", "Leave it out.")
        return given

    @field_validator("methods")
    @classmethod
    def _cut_already(cls, methods: tuple[AnyMethod, ...]) -> tuple[AnyMethod, ...]:
        if any(method.use == "prune" for method in methods):
            raise mistake("the models are cut already", "Leave prune out.")
        return methods

    def run(self, ctx: Context) -> dict[str, Any]:
        from jpqd.training.train import train

        return train(self, ctx)


class SearchOptions(Stage):
    """Finds what shall stay in each layer of a model, for a time, a size or a loss."""

    makes: ClassVar[FolderKind] = "plan"

    use: Literal["search"]
    needs: Annotated[tuple[StageId, ...], Field(min_length=2, max_length=2)]
    """The model, and the latency table of its shape."""
    target: Target
    margin: Annotated[float | None, Field(ge=1, lt=10)] = None
    """The times that the model is to be faster, by the table, than a target of time asks."""
    strategy: Name = "dp"
    reward: Reward | None = None
    """The agent's own weights of what it learns for."""
    policy: Text | None = None
    """The earlier search whose agent is where this one's starts: a stage's name, or the folder of
    a stage of another run, written as a path."""
    advice: StageId | None = None
    """A stage of `use: sensitivity`, which says how much of each layer stays at least."""
    precision: Name = "int8"
    """The precision in which the model will run, by its name in the latency table."""
    evaluations: Count = 16
    """The structures that are cut out and run, at most."""
    minutes: Positive = 30.0
    """The time after which no further structure is tried."""
    samples: Count = 512
    """Rows of train that units are scored on, and rows held out of train that candidates run on."""
    finals: Finals | None = None
    """A short training of the best few, by which one of them is chosen."""
    together: Count | None = None
    """The structures that are asked for at once, for workers to share; by default one."""

    @field_validator("strategy")
    @classmethod
    def _known(cls, strategy: str) -> str:
        known = plugins.names(STRATEGIES)
        if strategy not in known:
            raise mistake("no strategy has this name", plugins.advice(strategy, known))
        return strategy

    @field_validator("margin")
    @classmethod
    def _of_a_time(cls, margin: float | None, others: ValidationInfo) -> float | None:
        target = others.data.get("target")
        if margin is not None and target and not (target.speedup or target.p50_ms):
            raise mistake("is of a time, and the target has none", "Leave it out.")
        return margin

    @field_validator("reward", "policy")
    @classmethod
    def _of_the_agent(cls, given: Any, others: ValidationInfo) -> Any:
        if given is not None and others.data.get("strategy", _AGENT) != _AGENT:
            raise mistake("only an agent reads this", f"Leave it out, or give strategy: {_AGENT}.")
        return given

    @field_validator("finals")
    @classmethod
    def _within_a_limit(cls, finals: Finals | None, others: ValidationInfo) -> Finals | None:
        target = others.data.get("target")
        timed = target and (target.speedup or target.p50_ms)
        if finals and target and target.accuracy_drop is not None and not timed:
            raise mistake(
                "choose the nearest model within a time or a size, and not the fastest one",
                "Add speedup or p50_ms to the target, or leave finals out.",
            )
        evaluations = others.data.get("evaluations")
        if finals and evaluations and finals.count > evaluations:
            raise mistake(
                f"{finals.count} are trained, and only {evaluations} evaluated",
                "Give more evaluations, or a smaller count.",
            )
        return finals

    @field_validator("policy")
    @classmethod
    def _stage_or_folder(cls, policy: str | None) -> str | None:
        if policy is None or is_stage(policy) or looks_local(policy):
            return policy
        remedy = "Such as found, or ./runs/other/found."
        raise mistake("neither a stage's name nor a path that exists", remedy)

    def inputs(self) -> tuple[str, ...]:
        stages = (self.policy if self.policy and is_stage(self.policy) else None, self.advice)
        finals = self.finals.inputs() if self.finals else ()
        return tuple(dict.fromkeys((*self.needs, *(name for name in stages if name), *finals)))

    def sources(self) -> tuple[str, ...]:
        given = self.policy and not is_stage(self.policy)
        finals = self.finals.sources() if self.finals else ()
        return (*((f"{self.policy}/{POLICY}",) if given else ()), *finals)

    def disk_bytes(self, weights_bytes: int) -> int:
        return self.finals.disk_bytes(weights_bytes) if self.finals else 0

    def kinds(self) -> tuple[tuple[str, tuple[FolderKind, ...]], ...]:
        model, table = self.needs
        needed: tuple[tuple[str, tuple[FolderKind, ...]], ...] = (
            (model, ("model",)),
            (table, ("table",)),
        )
        if self.policy in self.inputs():
            needed = (*needed, (self.policy, ("plan",)))
        if self.advice:
            needed = (*needed, (self.advice, ("worth",)))
        return (*needed, *self.finals.kinds()) if self.finals else needed
