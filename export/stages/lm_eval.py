"""The stage that lets lm-eval's harness measure decoders' IRs."""

from typing import Any

from export.decoder.options import HarnessOptions
from jpqd.recipe.contracts import Context


class LmEval(HarnessOptions):
    """The figures that lm-eval's harness finds for decoders' IRs."""

    def run(self, ctx: Context) -> dict[str, Any]:
        from export.decoder import harness

        return harness.run(self, ctx)
