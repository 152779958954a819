"""What a benchmark is asked for: the options of `jpqd bench` and the keys of `use: bench`."""

from typing import Annotated, Literal

from pydantic import Field

from jpqd.core.bench_result import Asked, Mode
from jpqd.recipe.schema import Count, Positive, Seed, Spec, Text

RATES = (0.5, 0.7, 0.9)

Batches = Annotated[tuple[Count, ...], Field(min_length=1)]
Modes = Annotated[tuple[Literal["latency", "throughput"], ...], Field(min_length=1)]


class Settings(Spec):
    """Fields that `use: bench` and `jpqd bench` share."""

    device: Text = "CPU"
    """Any device of OpenVINO's: CPU, GPU, GPU.0, NPU, AUTO, HETERO:GPU,CPU."""
    arms: tuple[Text, ...] = ("default",)
    """Names of arms, or `default`, or `all`."""
    length: Count | None = None
    """Tokens of every row; their own lengths when not given."""
    batch: Batches = (1,)
    policy: Literal["exact", "multiple8", "buckets"] = "exact"
    """The length to which a batch is padded: its longest row's, or that rounded up."""
    modes: Modes = ("latency", "throughput")
    rate: bool = False
    """Also in an open loop: random arrivals at 50, 70 and 90% of each arm's capacity."""
    seconds: Positive = 120.0
    """The time that measuring may take, without loading."""
    blocks: Annotated[Count, Field(ge=2)] = 30
    threads: Count | None = None
    """Of every arm; what this process may use when not given."""
    accuracy: bool = False
    """Measure it for every arm, instead of taking what the stages measured."""
    seed: Seed = 0

    def measures_accuracy(self) -> bool:
        """Another device computes differently, so the stages' figures say nothing about it."""
        return self.accuracy or self.device != "CPU"

    def rates(self) -> tuple[float, ...]:
        return RATES if self.rate else ()

    def all_modes(self) -> list[Mode]:
        """The open loop has to know the capacity first."""
        latency: list[Mode] = ["latency"] if "latency" in self.modes else []
        throughput: list[Mode] = ["throughput"] if "throughput" in self.modes or self.rate else []
        open_loop: list[Mode] = ["open_loop"] if self.rate else []
        return latency + throughput + open_loop

    def share(self) -> float:
        """The seconds of one measurement."""
        closed = len([mode for mode in self.all_modes() if mode != "open_loop"])
        return self.seconds / (closed + len(self.rates())) / len(self.batch)

    def asked(self, threads: int) -> Asked:
        return Asked(
            device=self.device,
            modes=self.all_modes(),
            length=self.length,
            batches=list(self.batch),
            policy=self.policy,
            seconds=self.seconds,
            blocks=self.blocks,
            threads=threads,
            seed=self.seed,
            rates=list(self.rates()),
        )
