"""The keys of the stages for decoders: `compress_weights` and `lm_eval`."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, ValidationInfo, field_validator

from export.options import Measured
from jpqd.core.manifest import FolderKind
from jpqd.data.texts import Files
from jpqd.recipe.contracts import Stage
from jpqd.recipe.schema import Count, Fraction, Positive, Spec, StageId, Text, mistake

Format = Literal["int8", "int4", "nf4", "cb4", "mxfp4"]
Method = Literal["rtn", "awq", "scale_estimation", "awq_se", "gptq", "awq_gptq"]
Metric = Literal[
    "weight_quantization_error", "hessian_input_activation", "mean_activation_variance",
    "max_activation_variance", "mean_activation_magnitude",
]  # fmt: skip


_ROUNDED = ("int8", "mxfp4")
"""The formats that are only rounded."""


class WeightsTarget(Spec):
    """A limit that decides how many layers get four bits."""

    size_mb: Positive | None = None
    """The most that the IR may take."""
    kl: Annotated[Positive | None, Field(validate_default=True)] = None
    """The most that its predictions may differ, on windows of train."""

    @field_validator("kl")
    @classmethod
    def _one(cls, kl: float | None, others: ValidationInfo) -> float | None:
        if (kl is None) == (others.data.get("size_mb") is None):
            raise mistake("a target is either `size_mb` or `kl`", "Give one of them.")
        return kl


class Options(Measured):
    """A decoder's IR with weights in fewer bits, measured beside the one that it is made of."""

    makes: ClassVar[FolderKind] = "ir"
    needs_kind: ClassVar[tuple[FolderKind, ...]] = ("ir",)

    use: Literal["compress_weights"]
    needs: Annotated[tuple[StageId, ...], Field(min_length=1, max_length=1)]
    """A stage of `use: ov_ir` whose weights are whole."""
    format: Format = "int8"
    sym: bool = False
    """int8 and int4: without a zero point."""
    group_size: Annotated[int | None, Field(ge=1, lt=2**20)] = None
    """Weights that share a scale, for four bits; 64 by default, 32 for mxfp4."""
    method: Method | None = None
    """The way that four bits are found: rtn rounds, the others read texts. By default gptq, and
    rtn for mxfp4."""
    ratio: Annotated[Fraction | None, Field(gt=0)] = None
    """The share of the layers' weights that get four bits; the others get eight. By default all."""
    target: WeightsTarget | None = None
    """Instead of a ratio, what decides it."""
    metric: Metric | None = None
    """The order in which layers keep eight bits, by what hurts most."""
    embedding: Literal["int8", "int4"] = "int8"
    """The bits of the word embedding and of the last layer."""
    calibration: Files | None = None
    """Files of texts for methods that read some; by default the task's train."""
    samples: Count = 32
    """Windows of these texts."""

    @field_validator("calibration", "samples")
    @classmethod
    def _is_read(cls, given: Any, others: ValidationInfo) -> Any:
        rounds = others.data.get("method") == "rtn" or others.data.get("format") in _ROUNDED
        is_given = given != cls.model_fields[others.field_name or ""].default
        if is_given and rounds and others.data.get("metric") in (None, "weight_quantization_error"):
            raise mistake("is read by no method here: weights are only rounded", "Leave it out.")
        return given

    @property
    def how(self) -> str:
        """The method, with its default."""
        return self.method or ("rtn" if self.format in _ROUNDED else "gptq")

    @field_validator("sym")
    @classmethod
    def _of_integers(cls, sym: bool, others: ValidationInfo) -> bool:
        if sym and others.data.get("format") not in ("int8", "int4", None):
            raise mistake(f"{others.data['format']} has no zero point", "Leave it out.")
        return sym

    @field_validator("group_size", "ratio", "target", "metric", "method", "embedding")
    @classmethod
    def _of_four_bits(cls, value: Any, others: ValidationInfo) -> Any:
        if others.data.get("format") == "int8" and value not in (None, "int8", "rtn"):
            raise mistake("is for four bits, and format int8 has eight everywhere",
                          "Leave it out, or set format: int4.")  # fmt: skip
        return value

    @field_validator("group_size")
    @classmethod
    def _fixed(cls, size: int | None, others: ValidationInfo) -> int | None:
        if others.data.get("format") == "mxfp4" and size not in (None, 32):
            raise mistake("mxfp4 has groups of 32", "Leave it out.")
        return size

    @field_validator("method")
    @classmethod
    def _not_for_floats(cls, method: str | None, others: ValidationInfo) -> str | None:
        if others.data.get("format") == "mxfp4" and method not in (None, "rtn"):
            raise mistake("mxfp4 can only be rounded", "Leave it out, or set format: nf4.")
        return method

    @field_validator("target")
    @classmethod
    def _decides(cls, target: WeightsTarget | None, others: ValidationInfo) -> Any:
        if target and others.data.get("ratio") is not None:
            raise mistake("decides the ratio, which is given", "Keep one of them.")
        return target

    @field_validator("metric")
    @classmethod
    def _has_a_choice(cls, metric: str | None, others: ValidationInfo) -> str | None:
        if metric and others.data.get("ratio") is None and others.data.get("target") is None:
            raise mistake("orders layers, and without a ratio all get four bits",
                          "Give ratio, such as 0.8, or target.")  # fmt: skip
        return metric

    def sources(self) -> tuple[str, ...]:
        return self.calibration or ()

    def disk_bytes(self, weights_bytes: int) -> int:
        return weights_bytes


Settings = Literal["accurate", "deployed"]
"""accurate: f32 beside the weights. deployed: what the device does by itself."""


class QuestionsOptions(Stage):
    """The answers of decoders' IRs to questions of multiple choice, each beside the first one's."""

    makes: ClassVar[FolderKind] = "figures"
    needs_kind: ClassVar[tuple[FolderKind, ...]] = ("ir",)

    use: Literal["questions"]
    needs: Annotated[tuple[StageId, ...], Field(min_length=1)]
    table: Text
    """A file with `question`, `choices` and `answer`: the number of the right one, from 0."""
    settings: Settings = "accurate"

    def sources(self) -> tuple[str, ...]:
        return (self.table,)


class HarnessOptions(Stage):
    """The figures that lm-eval's harness finds for decoders' IRs."""

    makes: ClassVar[FolderKind] = "figures"
    needs_kind: ClassVar[tuple[FolderKind, ...]] = ("ir",)

    use: Literal["lm_eval"]
    needs: Annotated[tuple[StageId, ...], Field(min_length=1)]
    tasks: Annotated[tuple[Text, ...], Field(min_length=1)]
    """Names that the harness knows, or `.yaml` files of tasks; these may run code of their own."""
    limit: Count | None = None
    """The documents of each task; by default all."""
    settings: Settings = "accurate"

    def sources(self) -> tuple[str, ...]:
        return tuple(task for task in self.tasks if task.endswith(".yaml"))
