"""The keys of `use: ov_ir`, which are the options of `jpqd export`."""

from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field

from export import shapes
from jpqd.core.manifest import FolderKind
from jpqd.recipe.contracts import Stage
from jpqd.recipe.schema import StageId

ShapeText = Annotated[str, AfterValidator(shapes.checked)]


class Measured(Stage):
    """A stage whose IR may be measured beside another one, if it is a language model's."""

    beside: StageId | None = None
    """Language models: the IR that it is measured beside, such as that of the uncut model."""

    def inputs(self) -> tuple[str, ...]:
        return self.needs if self.beside is None else (*self.needs, self.beside)

    def kinds(self) -> tuple[tuple[str, tuple[FolderKind, ...]], ...]:
        irs: tuple[FolderKind, ...] = ("ir",)
        return super().kinds() if self.beside is None else (*super().kinds(), (self.beside, irs))


class Options(Measured):
    """OpenVINO IR of an earlier stage, checked against it row by row."""

    makes: ClassVar[FolderKind] = "ir"

    use: Literal["ov_ir"]
    needs: Annotated[tuple[StageId, ...], Field(max_length=1)] = ()
    """A stage with a model; without one, the recipe's own, which must be a language model."""
    shape: ShapeText = "auto"
    """auto: buckets for a pruned or INT8 model, and bounded (by `task.max_length`) for others."""
    precision: Literal["f32", "f16"] = "f32"
    """The precision of the weights that are not quantized."""
    embedding: Literal["int8", "int4"] | None = None
    """The bits of the word embedding's table; by default as the model has it."""
    fuse_tokenizer: bool = False
    """Also write an IR that takes texts."""
    layout: Literal["folder", "ovms"] = "folder"
    """ovms: a repository for OpenVINO Model Server."""
    check: bool = True
    """Compare with the PyTorch model on real rows; write nothing where it differs."""

    def disk_bytes(self, weights_bytes: int) -> int:
        return weights_bytes * (2 if self.fuse_tokenizer else 1)
