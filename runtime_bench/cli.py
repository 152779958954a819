"""`jpqd bench`: read arguments, call the library, print results."""

from pathlib import Path
from typing import Annotated

import typer

from jpqd.core.console import (
    DEFAULT_RUNS,
    Debug,
    Json,
    Offline,
    Runs,
    errors,
    prepare,
)

Device = Annotated[str, typer.Option(help="CPU, GPU, GPU.0, NPU, AUTO, HETERO:GPU,CPU.")]
Arms = Annotated[str | None, typer.Option(metavar="A,B", help="Names of arms, `default` or `all`.")]
Baseline = Annotated[
    str | None, typer.Option(help="A stage or an arm; `teacher`, or the first trained stage.")
]
Length = Annotated[int | None, typer.Option(help="Tokens of every row; else real lengths.")]
Texts = Annotated[Path | None, typer.Option(help="A file of rows, one text in each line.")]
Rate = Annotated[bool, typer.Option("--rate", help="Also random arrivals, at 50, 70, 90% load.")]
Threads = Annotated[int | None, typer.Option(help="Threads of every arm; all by default.")]
Seed = Annotated[int | None, typer.Option(help="The seed of the order of rows and arms.")]
Accuracy = Annotated[
    bool,
    typer.Option("--accuracy", help="Measure the accuracy of each arm on the reported split."),
]
Soak = Annotated[
    int | None, typer.Option(help="Then N requests of each arm: does its memory grow? 10000.")
]
Gates = Annotated[
    list[str] | None, typer.Option(help="speedup>=4, jpqd_ir.p95_ms<=10; exit 1 if not.")
]
Against = Annotated[
    Path | None,
    typer.Option(metavar="OLD.json", help="An earlier bench.json: name slower arms."),
]
Junit = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Write the gates as JUnit, for a CI server.")
]


def bench(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[RUN|DIR...]", help="A run or folders; by default the newest run."),
    ] = None,
    device: Device = "CPU",
    arms: Arms = None,
    baseline: Baseline = None,
    length: Length = None,
    batch: Annotated[str | None, typer.Option(metavar="1,8", help="Rows of a request.")] = None,
    policy: Annotated[str | None, typer.Option(help="exact, multiple8 or buckets.")] = None,
    texts: Texts = None,
    mode: Annotated[str | None, typer.Option(help="latency,throughput")] = None,
    rate: Rate = False,
    new_tokens: Annotated[
        int | None, typer.Option(help="A language model: tokens to write after a prompt; 32.")
    ] = None,
    seconds: Annotated[float | None, typer.Option(help="The time to measure; 120.")] = None,
    blocks: Annotated[int | None, typer.Option(help="Blocks of interleaved requests; 30.")] = None,
    threads: Threads = None,
    seed: Seed = None,
    accuracy: Accuracy = False,
    soak: Soak = None,
    gate: Gates = None,
    against: Against = None,
    junit: Junit = None,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="The folder to write; else RUN/bench.")
    ] = None,
    runs: Runs = DEFAULT_RUNS,
    as_json: Json = False,
    offline: Offline = False,
    debug: Debug = False,
) -> None:
    """Measure a run's models, or any folders, side by side: latency, throughput, memory."""
    with errors(debug, as_json):
        from jpqd.core.progress import Progress
        from runtime_bench import command

        prepare(offline)
        progress = Progress()
        settings = command.settings(
            device=device, arms=arms, length=length, batch=batch, policy=policy, modes=mode,
            rate=rate, seconds=seconds, blocks=blocks, threads=threads, seed=seed,
            accuracy=accuracy, soak=soak, new_tokens=new_tokens,
        )  # fmt: skip
        wanted = command.Wanted(names or [], runs, baseline, texts, out, gate or [], against, junit)
        done = command.bench(wanted, settings, progress)
        command.show(done, progress, as_json)
        command.conclude(done)
