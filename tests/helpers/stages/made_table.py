"""A latency table that no device was asked for."""

from typing import Any, ClassVar, Literal

from jpqd.core import latency_table
from jpqd.core.manifest import FolderKind
from jpqd.recipe.contracts import Context, Stage


class MadeTable(Stage):
    """The made-up table of the model of the stage that it needs."""

    makes: ClassVar[FolderKind] = "table"

    use: Literal["made_table"]
    layers: int | None = None
    """Instead of the model's own number."""

    def run(self, ctx: Context) -> dict[str, Any]:
        from jpqd.model import loading
        from tests.helpers import latency

        made = latency.table(loading.load(ctx.inputs[self.needs[0]]), (12, 24), (0.6, 0.4))
        if self.layers:
            made = made.model_copy(update={"layers": self.layers})
        latency_table.save(made, ctx.out)
        return {}
