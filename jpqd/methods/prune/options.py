"""The keys of `use: prune`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, StrictFloat, ValidationInfo, field_validator

from jpqd.core.manifest import FolderKind
from jpqd.methods.prune.schedules import Schedule
from jpqd.recipe.schema import Count, Fraction, NonNegative, StageId, mistake
from jpqd.training.method import Method


class Options(Method):
    """Pruning of the layers: keep the share of its weights that is worth most."""

    use: Literal["prune"]
    target: Literal["keep", "threshold"] = "keep"
    """An exact share, or the original's threshold, from which a share results."""
    plan: StageId | None = None
    """Instead of `keep`: a stage of `use: search`, whose plan says how much of each layer stays."""
    keep: Annotated[StrictFloat | None, Field(validate_default=True)] = None
    """The share of the whole model's weights, no embeddings, whatever earlier stages left."""
    threshold: float = 0.0
    """The score that a block must exceed in the end, for `target: threshold`."""
    regularization: NonNegative = 0.05
    """The final strength of the penalty on all scores, for `target: threshold`."""
    structure: Annotated[
        Literal["heads_ffn", "layers", "block", "unstructured"], Field(validate_default=True)
    ] = "heads_ffn"
    """The units: heads and neurons, whole layers, blocks that end as heads and neurons, weights."""
    score: Literal["fisher", "surgeon", "movement", "taylor", "magnitude", "random"] = "fisher"
    """The measure of a unit's worth."""
    norm: Literal["l1", "l2"] = "l2"
    """The norm for `score: magnitude`."""
    scope: Literal["global", "layer"] = "global"
    """Let all units compete, or keep the same share of every layer."""
    schedule: Annotated[Schedule, Field(validate_default=True)] = "cubic"
    start: Annotated[Fraction, Field(lt=1)] = 0.05
    """The share of the stage after which pruning begins; scores are learnt before, or, for 0, from
    `samples` rows of train before the first step."""
    end: Fraction = 0.4
    """The share of the stage after which the target is reached and the model is cut."""
    rounds: Annotated[Count, Field(ge=2)] = 3
    """The number of rounds for `schedule: iterative`."""
    after: Literal["keep", "rewind", "reinit"] = "keep"
    """The fate of the remaining weights at each pruning."""
    rewind_to: Fraction = 0.0
    """The share of the stage whose weights come back, for `after: rewind`; 0 is its start."""
    floor: Fraction = 0.0
    """The least share of each layer's heads, and of its neurons, that stays."""
    advice: StageId | None = None
    """Instead of `floor`: a stage of `use: sensitivity`, which says whether one is needed."""
    ceiling: Fraction = 1.0
    """The largest share of each layer's heads, and of its neurons, that stays."""
    round_ffn_to: Count | None = None
    """Round feed-forward widths to multiples of this: 64 for wide layers, else 8."""
    refit: bool | None = None
    """Solve the output projections of the cut model again: where all units go at once, if not
    given. (Not given instead of true: stages that were sealed before keep their fingerprint.)"""
    samples: Count = 2048
    """The rows of train for `refit`, and for scores where nothing has trained before."""

    @field_validator("keep")
    @classmethod
    def _fits_target(cls, keep: float | None, others: ValidationInfo) -> float | None:
        target, plan = others.data.get("target"), others.data.get("plan")
        if plan is not None and (keep is not None or target == "threshold"):
            raise mistake("does not go with plan, which says what stays", "Remove one of them.")
        if target == "keep" and keep is None and plan is None:
            raise mistake(
                "is missing", "Give the share of the layers' weights that stays, such as keep: 0.3."
            )
        if target == "threshold" and keep is not None:
            raise mistake(
                "does not go with target: threshold, which finds the share itself",
                "Leave keep out.",
            )
        if keep is not None and not 0 < keep < 1:
            raise mistake(
                "must lie between 0 and 1", "Give the share that stays, such as keep: 0.3."
            )
        return keep

    @field_validator("schedule")
    @classmethod
    def _once(cls, schedule: str, others: ValidationInfo) -> str:
        if others.data.get("score") == "surgeon" and schedule != "one_shot":
            raise mistake(
                f"{schedule!r} does not go with score: surgeon, which solves what is left again",
                "Give schedule: one_shot, also where nothing trains.",
            )
        return schedule

    @field_validator("score")
    @classmethod
    def _solved_again(cls, score: str, others: ValidationInfo) -> str:
        if score == "surgeon" and others.data.get("structure", "heads_ffn") != "heads_ffn":
            raise mistake("surgeon is for heads and neurons", "Leave structure out.")
        return score

    @field_validator("structure")
    @classmethod
    def _original(cls, structure: str, others: ValidationInfo) -> str:
        if others.data.get("target") == "threshold" and structure != "block":
            raise mistake("does not go with target: threshold", "Give structure: block.")
        if others.data.get("plan") is not None and structure != "heads_ffn":
            raise mistake("does not go with plan", "Leave it out: a plan counts heads and neurons.")
        return structure

    @field_validator("scope", "floor", "advice", "ceiling", "round_ffn_to")
    @classmethod
    def _not_beside_a_plan(cls, given: Any, others: ValidationInfo) -> Any:
        if others.data.get("plan") is not None and not _is_usual(given, others):
            raise mistake("does not go with plan, which says what stays", "Leave it out.")
        return given

    @field_validator("schedule", "scope", "after", "round_ffn_to")
    @classmethod
    def _not_with_a_threshold(cls, given: Any, others: ValidationInfo) -> Any:
        if others.data.get("target") == "threshold" and not _is_usual(given, others):
            raise mistake("does not go with target: threshold", "Leave it out.")
        return given

    @field_validator("threshold", "regularization", "norm", "rounds", "rewind_to")
    @classmethod
    def _is_read(cls, given: Any, others: ValidationInfo) -> Any:
        key, value = _READ_WITH[others.field_name or ""]
        if not _is_usual(given, others) and others.data.get(key, value) != value:
            raise mistake("nothing reads it", f"Add {key}: {value}, or leave it out.")
        return given

    @field_validator("floor", "ceiling")
    @classmethod
    def _of_heads_and_neurons(cls, share: float, others: ValidationInfo) -> float:
        other = others.data.get("structure") in ("layers", "unstructured")
        if not _is_usual(share, others) and (other or others.data.get("target") == "threshold"):
            raise mistake(
                "is a share of heads and of neurons, which this target or structure does not count",
                "Leave it out.",
            )
        return share

    @field_validator("scope", "round_ffn_to")
    @classmethod
    def _of_units_in_a_layer(cls, given: Any, others: ValidationInfo) -> Any:
        structure = others.data.get("structure")
        unread = ("layers",) if others.field_name == "scope" else ("layers", "unstructured")
        if structure in unread and not _is_usual(given, others):
            raise mistake(f"nothing reads it with structure: {structure}", "Leave it out.")
        return given

    @field_validator("refit")
    @classmethod
    def _of_weights_that_stay(cls, refit: bool | None, others: ValidationInfo) -> bool | None:
        for key, unread in _WITHOUT_REFIT.items():
            if refit and others.data.get(key) in unread:
                raise mistake(
                    f"no projection is solved again with {key}: {others.data[key]}", "Leave it out."
                )
        return refit

    @field_validator("start")
    @classmethod
    def _scores_have_moved(cls, start: float, others: ValidationInfo) -> float:
        if others.data.get("target") == "threshold" and not start:
            raise mistake(
                "is before the scores have moved, which all begin at the threshold",
                "Give more, such as 0.1.",
            )
        return start

    @field_validator("end")
    @classmethod
    def _after_start(cls, end: float, others: ValidationInfo) -> float:
        if end < others.data.get("start", 0.0):
            raise mistake(f"is before start {others.data['start']}", "Give start or more.")
        return end

    @field_validator("after")
    @classmethod
    def _in_rounds(cls, after: str, others: ValidationInfo) -> str:
        schedule = others.data.get("schedule")
        if after != "keep" and schedule not in ("one_shot", "iterative"):
            raise mistake(
                f"{after!r} needs pruning in rounds, not schedule {schedule!r}",
                "Choose schedule: iterative or one_shot.",
            )
        if after != "keep" and schedule == "iterative" and others.data.get("end") == 1:
            raise mistake("needs steps after the last round", "Give end, such as 0.5.")
        return after

    @field_validator("rewind_to")
    @classmethod
    def _before_pruning(cls, rewind_to: float, others: ValidationInfo) -> float:
        if rewind_to > others.data.get("start", 1.0):
            raise mistake("is after start, when pruning has begun", "Give start or less.")
        return rewind_to

    @field_validator("ceiling")
    @classmethod
    def _above_floor(cls, ceiling: float, others: ValidationInfo) -> float:
        if ceiling < others.data.get("floor", 0.0):
            raise mistake(f"is below floor {others.data['floor']}", "Give floor or more.")
        return ceiling

    @field_validator("advice")
    @classmethod
    def _instead_of_a_floor(cls, advice: str | None, others: ValidationInfo) -> str | None:
        if advice is not None and others.data.get("floor"):
            raise mistake("does not go with floor, which it says", "Remove one of them.")
        if advice is not None and others.data.get("structure") != "heads_ffn":
            raise mistake("is of heads and neurons", "Leave it out, or structure.")
        return advice

    def inputs(self) -> tuple[str, ...]:
        return tuple(name for name, _ in self.kinds())

    def kinds(self) -> tuple[tuple[str, tuple[FolderKind, ...]], ...]:
        given: tuple[tuple[str | None, tuple[FolderKind, ...]], ...] = (
            (self.plan, ("plan",)),
            (self.advice, ("worth",)),
        )
        return tuple((name, kinds) for name, kinds in given if name is not None)


_READ_WITH = {
    "threshold": ("target", "threshold"),
    "regularization": ("target", "threshold"),
    "norm": ("score", "magnitude"),
    "rounds": ("schedule", "iterative"),
    "rewind_to": ("after", "rewind"),
}
"""The key, and its value, without which another one has no meaning."""


_WITHOUT_REFIT = {
    "target": ("threshold",),
    "structure": ("layers", "unstructured"),
    "after": ("rewind", "reinit"),
}


def _is_usual(given: Any, others: ValidationInfo) -> bool:
    """Return whether a key has its default, which a recipe that was written down has as well."""
    return bool(given == Options.model_fields[others.field_name or ""].default)
