"""The keys of `use: prune`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StrictFloat, ValidationInfo, field_validator

from jpqd.methods.prune.schedules import Schedule
from jpqd.recipe.schema import Count, Fraction, NonNegative, mistake
from jpqd.training.method import Method


class Options(Method):
    """Keeps the share of the encoder's weights that is worth most, and cuts the rest out."""

    use: Literal["prune"]
    target: Literal["keep", "threshold"] = "keep"
    """A share that is reached exactly, or the original's threshold, from which a share results."""
    keep: Annotated[StrictFloat | None, Field(validate_default=True)] = None
    """Of the whole encoder's weights, embeddings excluded, whatever earlier stages left of it."""
    threshold: float = 0.0
    """With `target: threshold`: what a block's score must be above, in the end."""
    regularization: NonNegative = 0.05
    """With `target: threshold`: how strongly all scores are pulled down, in the end."""
    structure: Annotated[
        Literal["heads_ffn", "layers", "block", "unstructured"], Field(validate_default=True)
    ] = "heads_ffn"
    """What goes: heads and neurons, whole layers, blocks that end as heads and neurons, weights."""
    score: Literal["fisher", "movement", "taylor", "magnitude", "random"] = "fisher"
    """What a unit is worth."""
    norm: Literal["l1", "l2"] = "l2"
    """With `score: magnitude`."""
    scope: Literal["global", "layer"] = "global"
    """All units compete, or every layer keeps the same share."""
    schedule: Schedule = "cubic"
    start: Annotated[Fraction, Field(lt=1)] = 0.05
    """The share of the stage after which pruning begins; until then scores are learnt."""
    end: Fraction = 0.4
    """When the target is reached, and the model is cut."""
    rounds: Annotated[Count, Field(ge=2)] = 3
    """With `schedule: iterative`."""
    after: Literal["keep", "rewind", "reinit"] = "keep"
    """What becomes of the weights that stay, at each pruning."""
    rewind_to: Fraction = 0.0
    """With `after: rewind`: the share of the stage whose weights come back; 0 is its start."""
    floor: Fraction = 0.0
    """The share of each layer's heads and of its neurons that always stays."""
    ceiling: Fraction = 1.0
    """The share of each layer's heads and of its neurons that stays at most."""
    round_ffn_to: Count | None = None
    """Feed-forward widths are multiples of this: 64 where layers are wide, else 8."""
    samples: Count = 2048
    """Rows of train that the scores come from when nothing trains (`epochs: 0`)."""

    @field_validator("keep")
    @classmethod
    def _fits_target(cls, keep: float | None, others: ValidationInfo) -> float | None:
        target = others.data.get("target")
        if target == "keep" and keep is None:
            raise mistake("is missing", "How much of the encoder stays, such as keep: 0.3.")
        if target == "threshold" and keep is not None:
            raise mistake("with target: threshold the share results", "Leave keep out.")
        if keep is not None and not 0 < keep < 1:
            raise mistake("must lie between 0 and 1", "The share that stays, such as keep: 0.3.")
        return keep

    @field_validator("structure")
    @classmethod
    def _original(cls, structure: str, others: ValidationInfo) -> str:
        if others.data.get("target") == "threshold" and structure != "block":
            raise mistake(f"target: threshold has no {structure!r}", "Give structure: block.")
        return structure

    @field_validator("end")
    @classmethod
    def _after_start(cls, end: float, others: ValidationInfo) -> float:
        if end < others.data.get("start", 0.0):
            raise mistake(
                f"is before start {others.data['start']}", "The target is reached at `end`."
            )
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
        return after

    @field_validator("rewind_to")
    @classmethod
    def _before_pruning(cls, rewind_to: float, others: ValidationInfo) -> float:
        if rewind_to > others.data.get("start", 1.0):
            raise mistake("is after start: nothing to come back to", "Give start or less.")
        return rewind_to

    @field_validator("ceiling")
    @classmethod
    def _above_floor(cls, ceiling: float, others: ValidationInfo) -> float:
        if ceiling < others.data.get("floor", 0.0):
            raise mistake(f"is below floor {others.data['floor']}", "Give floor or more.")
        return ceiling
