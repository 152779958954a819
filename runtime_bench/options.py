"""The settings of a benchmark: options of `jpqd bench` and keys of `use: bench`."""

from typing import Annotated, Any, Literal

from pydantic import Field, StrictInt

from jpqd.core.bench_result import Asked, Mode
from jpqd.recipe.schema import Count, Positive, Seed, Spec, Text

RATES = (0.5, 0.7, 0.9)

Batches = Annotated[tuple[Count, ...], Field(min_length=1)]
Modes = Annotated[tuple[Literal["latency", "throughput"], ...], Field(min_length=1)]


class Settings(Spec):
    """The settings that `use: bench` and `jpqd bench` share."""

    device: Text = "CPU"
    """Any device of OpenVINO: CPU, GPU, GPU.0, NPU, AUTO, HETERO:GPU,CPU."""
    arms: tuple[Text, ...] = ("default",)
    """Names of arms, or `default`, or `all`."""
    length: Count | None = None
    """Tokens of every row; by default the rows' own lengths."""
    batch: Batches = (1,)
    policy: Literal["exact", "multiple8", "buckets"] = "exact"
    """The length to which a batch is padded: that of its longest row, exact or rounded up."""
    modes: Modes = ("latency", "throughput")
    rate: bool = False
    """Also measure an open loop: random arrivals at 50, 70 and 90% of each arm's capacity."""
    seconds: Positive = 120.0
    """The time that measuring may take, without loading."""
    blocks: Annotated[Count, Field(ge=2)] = 30
    threads: Count | None = None
    """The threads of every arm; by default all that this process may use."""
    accuracy: bool = False
    """Measure the accuracy of every arm, instead of taking stages' figures where they hold."""
    new_tokens: Count | None = None
    """Tokens that a language model writes after a prompt; by default 32."""
    soak: Annotated[StrictInt, Field(ge=0, lt=2**31)] = 0
    """Requests of each arm, after measuring, over which the growth of its memory is measured."""
    seed: Seed = 0

    def plain(self) -> dict[str, Any]:
        """Leave `soak` out where it is off: a key that 0.1 had not is no reason to measure anew."""
        return {key: value for key, value in super().plain().items() if key != "soak" or value}

    def measures_accuracy(self) -> bool:
        """Return whether to measure accuracy; the stages' figures hold on CPUs only."""
        return self.accuracy or self.device != "CPU"

    def rates(self) -> tuple[float, ...]:
        return RATES if self.rate else ()

    def all_modes(self) -> list[Mode]:
        """Return the modes in order: the open loop needs the capacity of throughput."""
        latency: list[Mode] = ["latency"] if "latency" in self.modes else []
        throughput: list[Mode] = ["throughput"] if "throughput" in self.modes or self.rate else []
        open_loop: list[Mode] = ["open_loop"] if self.rate else []
        return latency + throughput + open_loop

    def share(self) -> float:
        """Return the seconds for one measurement."""
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
            soak=self.soak,
            new_tokens=self.new_tokens,
        )
