"""The stage that turns a trained model into OpenVINO IR."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from export import shapes
from jpqd.schema import StageId
from jpqd.stage import Context, Stage

ShapeText = Annotated[str, AfterValidator(shapes.checked)]


class OvIr(Stage):
    """OpenVINO IR of an earlier stage, checked against it row by row."""

    use: Literal["ov_ir"]
    needs: Annotated[tuple[StageId, ...], Field(min_length=1, max_length=1)]
    shape: ShapeText = "bounded"
    """dynamic, bounded (by `task.max_length`), bounded:LENGTH or static:BATCH,LENGTH."""
    precision: Literal["f32", "f16"] = "f32"
    """In which the weights that are not quantized are stored."""
    fuse_tokenizer: bool = False
    """Write one more IR that takes texts."""
    layout: Literal["folder", "ovms"] = "folder"
    """ovms: a repository that OpenVINO Model Server reads."""
    check: bool = True
    """Compare with the PyTorch model on real rows, and write nothing that differs."""

    def disk_bytes(self, weights_bytes: int) -> int:
        return weights_bytes * (2 if self.fuse_tokenizer else 1)

    def run(self, ctx: Context) -> dict[str, Any]:
        from export import ir
        from export.origin import Origin

        origin = Origin(ctx.inputs[self.needs[0]], ctx.task, ctx.cache)
        return ir.write(self, origin, ctx.out, ctx.progress)
