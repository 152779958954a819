"""The stage in which a language model writes what another one is to learn."""

from typing import Any

from jpqd.recipe.contracts import Context
from jpqd.training.options import ImitateOptions


class Imitate(ImitateOptions):
    """Texts that a language model writes after prompts, cleaned, for another one to learn."""

    def run(self, ctx: Context) -> dict[str, Any]:
        from jpqd.training.imitating import imitate

        return imitate(self, ctx)
