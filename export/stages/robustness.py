"""The stage that measures what compression broke and accuracy does not show."""

from typing import Any

from export.robustness.options import Options
from jpqd.recipe.contracts import Context


class Robustness(Options):
    """Figures under noise, on other data and on parts, each beside the baseline's."""

    def run(self, ctx: Context) -> dict[str, Any]:
        from export.robustness import measure

        return measure.run(self, ctx)
