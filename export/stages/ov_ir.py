"""The stage that turns a trained model into OpenVINO IR."""

from typing import Any

from export.options import Options
from jpqd.recipe.contracts import Context


class OvIr(Options):
    """OpenVINO IR of an earlier stage, checked against it row by row."""

    def run(self, ctx: Context) -> dict[str, Any]:
        from export import ir
        from export.origin import Origin

        origin = Origin(ctx.inputs[self.needs[0]], ctx.task, ctx.cache)
        return ir.write(self, origin, ctx.out, ctx.progress)
