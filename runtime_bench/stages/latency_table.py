"""The stage that measures how long a layer takes for each number of heads and neurons."""

from typing import Any

from jpqd.recipe.contracts import Context
from runtime_bench.table.options import Options


class LatencyTable(Options):
    """The time of each part of a model on a device, from which any pruned one is predicted."""

    def run(self, ctx: Context) -> dict[str, Any]:
        from runtime_bench.table import make

        return make.run(self, ctx)
