"""Latency tables without a device: operations, and a constant for each part that is there."""

from __future__ import annotations

from transformers import PreTrainedModel

from jpqd.core.latency_table import LatencyTable, Precision, Times
from jpqd.model import families

GFLOPS = {"int8": 200.0, "f32": 60.0}
CONSTANT = 0.1
"""The time of a part before it computes anything, as a share of what all heads of a layer take."""


def table(
    model: PreTrainedModel,
    lengths: tuple[int, ...] = (24,),
    shares: tuple[float, ...] = (1.0,),
    step: int | None = None,
) -> LatencyTable:
    """Make the table of a model; neurons go in steps of `step`."""
    heads, neurons = families.whole_layer(model)
    hidden = int(model.config.hidden_size)
    step = step or (64 if neurons >= 512 else 8)
    widths = [*range(0, neurons, step), neurons]

    def precision(name: str, weight_bytes: int) -> Precision:
        def taken(operations: float, length: int) -> float:
            # Small products use the processor badly.
            return float((operations * length) ** 0.95 / (GFLOPS[name] * 1e6))

        def times(units: int, operations: float, weights: float) -> Times:
            ms = [
                (CONSTANT * taken(8 * hidden * hidden, length) + taken(operations, length))
                * (units > 0)
                for length in lengths
            ]
            mb = weights * weight_bytes / 1e6
            return Times(units=units, ms=ms, low=ms, high=ms, mb=mb)

        head = 4 * hidden * families.head_size(model)
        return Precision(
            name=name,
            computes=name,
            rest=times(1, 4 * hidden * hidden, model.config.vocab_size * hidden),
            heads=[times(count, 2 * head * count, head * count) for count in range(heads + 1)],
            neurons=[times(n, 4 * hidden * n, 2 * hidden * n) for n in widths],
            disturbed=0.0,
        )

    return LatencyTable(
        device="CPU",
        device_name="made up",
        threads=1,
        layers=len(families.layers(model)),
        heads=heads,
        neurons=neurons,
        words=model.config.vocab_size,
        lengths=list(lengths),
        shares=list(shares),
        precisions=[precision("int8", 1), precision("f32", 4)],
        checked=[],
        environment={},
    )
