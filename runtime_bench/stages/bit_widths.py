"""The stage that measures one model at every number of bits."""

from typing import Any

from jpqd.recipe.contracts import Context
from runtime_bench.widths.options import Options


class BitWidths(Options):
    """The size, memory, speed and answers of a model at 32, 16, 8, 4 and 2 bits."""

    def run(self, ctx: Context) -> dict[str, Any]:
        from runtime_bench.widths import make

        return make.run(self, ctx)
