"""The keys of `use: quantize`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator

from jpqd.core.manifest import FolderKind
from jpqd.recipe.schema import Count, Fraction, StageId, Text, mistake
from jpqd.training.method import Method

AFTER_TRAINING = {"use": "quantize", "smooth_quant": 0.8, "range": "min_max"}
"""The quantizer that loses least where nothing is trained."""


class Options(Method):
    """INT8 by NNCF. `epochs: 0` is post-training quantization; otherwise the scales train."""

    use: Literal["quantize"]
    preset: Literal["mixed", "performance"] = "mixed"
    """Zero points: mixed gives them to activations, performance has none (symmetric, absmax)."""
    samples: Count = 300
    """Rows of train that calibrate the ranges."""
    range: Literal["mean_min_max", "min_max", "percentile"] = "mean_min_max"
    """The range of an activation: the mean of each row's extremes, the extremes, or clipping."""
    percentile: Annotated[float, Field(gt=50, lt=100)] = 99.99
    """The percentile for `range: percentile`; values beyond it are clipped."""
    smooth_quant: Fraction = 0.0
    """The exponent that moves difficulty from activations to weights; 0 is off."""
    ignore: tuple[Text, ...] = ()
    """Parts that stay in floating point, by module name, such as `pooler` or `encoder.layer.0`."""
    advice: StageId | None = None
    """A stage of `use: sensitivity`, which names more parts that stay in floating point."""
    overflow_fix: bool = False
    """Use 7-bit weights, for CPUs without VNNI, whose 16-bit sums overflow. On such a CPU they
    always have 7; `true` is for models that are quantized elsewhere."""

    @field_validator("percentile")
    @classmethod
    def _is_read(cls, percentile: float, others: ValidationInfo) -> float:
        usual = cls.model_fields["percentile"].default
        if percentile != usual and others.data.get("range", "percentile") != "percentile":
            raise mistake("nothing reads it", "Add range: percentile, or leave it out.")
        return percentile

    def inputs(self) -> tuple[str, ...]:
        return () if self.advice is None else (self.advice,)

    def kinds(self) -> tuple[tuple[str, tuple[FolderKind, ...]], ...]:
        return tuple((name, ("worth",)) for name in self.inputs())
