"""The stage that turns a trained model into OpenVINO IR."""

from pathlib import Path
from typing import Any

from export.options import Options
from jpqd.core.errors import UserError
from jpqd.recipe.contracts import Context


class OvIr(Options):
    """OpenVINO IR of an earlier stage, checked against it row by row."""

    def run(self, ctx: Context) -> dict[str, Any]:
        from export import write
        from export.origin import Origin

        if self.needs:
            origin = Origin(ctx.inputs[self.needs[0]], ctx.task, ctx.cache)
        else:
            origin = Origin(_given(ctx), ctx.task, ctx.cache, from_recipe=True)
        beside = ctx.inputs[self.beside] if self.beside else None
        return write.write(self, origin, ctx.out, ctx.progress, beside)


def _given(ctx: Context) -> Path:
    """Return the folder of the recipe's own model."""
    from jpqd.data import sources

    if not isinstance(ctx.model, str):
        raise UserError(
            f"{ctx.stage}: the recipe's model has random weights. Train it first, and name the "
            "stage in `needs`."
        )
    return sources.model_folder(ctx.model)
