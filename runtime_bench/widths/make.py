"""The whole stage: build every variant, ask it, measure it, and set it beside the whole model."""

from __future__ import annotations

import math
from typing import Any

from jpqd.analysis import distance
from jpqd.core import cpus, environment, files
from jpqd.core.bench_result import Estimate, Figures
from jpqd.core.errors import RunError
from jpqd.recipe.contracts import Context
from jpqd.scores.predictions import Predictions
from runtime_bench.measure import statistics
from runtime_bench.widths import measure, storage, variants
from runtime_bench.widths.measure import Asked, Timed
from runtime_bench.widths.options import Options
from runtime_bench.widths.variants import WHOLE, Factory, Variant

FILE = "bit_widths.json"
EFFICIENCY = "(speedup x times smaller) ^ 1/2 x share of the score that is kept"
"""The mean of the gains in speed and size, less what the answers lose."""


def run(stage: Options, ctx: Context) -> dict[str, Any]:
    factory = Factory(ctx.inputs[stage.needs[0]], ctx)
    kind = factory.data.kind
    padding = int(factory.tokenizer.pad_token_id or 0)
    asked = measure.rows(factory.data, stage.samples, padding, ctx.seed)
    every = variants.every(stage.group_sizes)
    parts = storage.table(factory.network, every)
    threads = stage.threads or cpus.usable()
    said = {one.name: measure.said(one, factory, asked, threads) for one in every}
    if isinstance(said[WHOLE], str):
        raise RunError(f"{ctx.stage}: the model does not run in f32: {said[WHOLE]}")
    usable = [one for one in every if isinstance(said[one.name], Predictions)]
    backends = {one.name: one.backend(ctx.work, threads) for one in usable}
    timed = measure.times(backends, asked, stage.seconds, ctx)
    made = {
        "rows": len(asked.requests),
        "timed": len(asked.timed),
        "metric": kind.metrics[0],
        "measure": distance.name(kind),
        "formula": EFFICIENCY,
        "threads": threads,
        "processor": environment.environment()["processor"],
        "blocks": timed.blocks,
        "disturbed": timed.disturbed,
        "variants": [_row(one, said, asked, timed) for one in every],
        "parts": parts,
    }
    files.write_json(ctx.out / FILE, made)
    return {"bit_widths": made, "data": factory.data.facts()}


def _row(
    one: Variant, said: dict[str, Predictions | str], asked: Asked, timed: Timed
) -> dict[str, Any]:
    """Return the figures of a variant; of one that does not run only the reason."""
    about = {"name": one.name, "bits": one.bits, "group": one.group}
    mine, whole = said[one.name], said[WHOLE]
    if isinstance(mine, str) or isinstance(whole, str):
        return {**about, "refused": mine}
    kind, facts = asked.truth.kind, timed.facts[one.name]
    own, base = timed.figures[one.name], timed.facts[WHOLE]
    scores = measure.compared(kind, mine, whole)
    faster = (own.speedup.value if own.speedup else None) or 1.0
    smaller = base["bytes"] / facts["bytes"]
    return {
        **about,
        "bytes": facts["bytes"],
        "smaller": smaller,
        "peak_mb": facts["peak_rss_mb"],
        "serving_mb": facts["rss_serving_mb"],
        "runs_as": _runs_as(one, facts),
        "p50_ms": own.latency_ms.p50.model_dump() if own.latency_ms else None,
        "speedup": own.speedup.model_dump() if own.speedup else None,
        "gain": _gain(one, own),
        **scores,
        "divergence": distance.of(kind, mine, whole),
        "efficiency": _efficiency(faster * smaller, kind.value(mine), kind.value(whole)),
    }


def _efficiency(gains: float, score: float, whole: float) -> float | None:
    """Return none where the whole model is no better than chance: nothing can be kept of that."""
    return math.sqrt(gains) * max(score, 0.0) / whole if whole > 0 else None


_EIGHT = "int8 weights"


def _runs_as(one: Variant, facts: dict[str, Any]) -> str:
    """Say in what it multiplies: the runtime names products by their weights' bits alone."""
    products, asked = facts["precision"], facts["compiled"]["latency"].properties
    if one.bits >= 16 or one.ir == "int8_static":
        return str(products)
    rounds = asked.get("DYNAMIC_QUANTIZATION_GROUP_SIZE", "0") != "0"
    activations = "8-bit" if rounds else asked.get("INFERENCE_PRECISION_HINT", "whole")
    return f"{products} weights, {activations} activations"


def _gain(one: Variant, own: Figures) -> str:
    """Say whether the device runs a variant faster than f32, and fewer bits faster than eight."""
    if one.name == WHOLE:
        return ""
    if not _faster(own.speedup_over[WHOLE]):
        return "no faster than f32"
    if one.bits < 8 and _EIGHT in own.speedup_over and not _faster(own.speedup_over[_EIGHT]):
        return "no faster than 8 bits"
    return "faster"


def _faster(ratio: Estimate) -> bool:
    return statistics.differs(ratio) and (ratio.value or 0.0) > 1
