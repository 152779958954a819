"""Measures earlier stages side by side: a trained stage in PyTorch, an IR in OpenVINO."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from jpqd.schema import StageId
from jpqd.stage import Context, Stage
from runtime_bench.settings import Settings


class Bench(Settings, Stage):
    """Latency, throughput, memory and accuracy of the stages in `needs`; the first is baseline."""

    needs_use: ClassVar[tuple[str, ...]] = ("train", "ov_ir")

    use: Literal["bench"]
    needs: Annotated[tuple[StageId, ...], Field(min_length=1)]

    def run(self, ctx: Context) -> dict[str, Any]:
        from runtime_bench import command

        return command.as_stage(self, ctx)
