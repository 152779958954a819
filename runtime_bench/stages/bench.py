"""The stage that measures earlier ones: trained stages in PyTorch, IRs in OpenVINO."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from jpqd.core.manifest import FolderKind
from jpqd.recipe.contracts import Context, Stage
from jpqd.recipe.schema import StageId
from runtime_bench.options import Settings


class Bench(Settings, Stage):
    """Latency, throughput, memory and accuracy of the stages in `needs`; the first is baseline."""

    makes: ClassVar[FolderKind] = "bench"
    needs_kind: ClassVar[tuple[FolderKind, ...]] = ("model", "ir")

    use: Literal["bench"]
    needs: Annotated[tuple[StageId, ...], Field(min_length=1)]

    def run(self, ctx: Context) -> dict[str, Any]:
        from runtime_bench import command

        return command.as_stage(self, self.needs, ctx)
