"""The stage that measures what each part of a model is worth."""

from typing import Any

from jpqd.analysis.options import SensitivityOptions
from jpqd.recipe.contracts import Context


class Sensitivity(SensitivityOptions):
    """The harm that is done where one part alone is pruned, or gets fewer bits."""

    def run(self, ctx: Context) -> dict[str, Any]:
        from jpqd.analysis import sensitivity

        return sensitivity.run(self, ctx)
