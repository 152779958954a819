"""The stage that puts the weights of a decoder's IR into fewer bits."""

from typing import Any

from export.decoder.options import Options
from jpqd.recipe.contracts import Context


class CompressWeights(Options):
    """A decoder's IR with weights in fewer bits, measured beside the one that it is made of."""

    def run(self, ctx: Context) -> dict[str, Any]:
        from export.decoder import weights

        return weights.write(self, ctx)
