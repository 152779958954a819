"""The whole stage: build every variant, ask it, measure it, and set it beside the whole model."""

from __future__ import annotations

import math
from typing import Any

from jpqd.analysis import distance
from jpqd.core import cpus, environment, files
from jpqd.core.bench_result import Figures
from jpqd.core.manifest import main_figure
from jpqd.recipe.contracts import Context
from jpqd.scores.predictions import Predictions
from runtime_bench.widths import measure, storage, variants
from runtime_bench.widths.measure import Asked, Timed
from runtime_bench.widths.options import Options
from runtime_bench.widths.variants import WHOLE, Factory, Variant

FILE = "bit_widths.json"
EFFICIENCY = "(speedup x times smaller) ^ 1/2 x share of the score that is kept"
"""The mean of the gains in speed and size, less what the answers lose."""


def run(stage: Options, ctx: Context) -> dict[str, Any]:
    factory = Factory(ctx.inputs[stage.needs[0]], ctx)
    padding = int(factory.tokenizer.pad_token_id or 0)
    asked = measure.rows(factory.data, stage.samples, padding, ctx.seed)
    every = variants.every(stage.group_sizes)
    threads = stage.threads or cpus.usable()
    said: dict[str, Predictions | str] = {}
    for one in every:
        factory.write(one, ctx.work)
        said[one.name] = measure.runs(one.name, one.backend(ctx.work, threads), asked, ctx)
    usable = [one for one in every if isinstance(said[one.name], Predictions)]
    backends = {one.name: one.backend(ctx.work, threads) for one in usable}
    timed = measure.times(backends, asked, stage.seconds, ctx)
    made = {
        "rows": len(asked.requests),
        "metric": factory.kind.metrics[0],
        "measure": distance.name(factory.kind),
        "formula": EFFICIENCY,
        "threads": threads,
        "processor": environment.environment()["processor"],
        "blocks": timed.blocks,
        "disturbed": timed.disturbed,
        "variants": [_row(one, said, asked, timed) for one in every],
        "parts": storage.table(factory.network, every),
    }
    files.write_json(ctx.out / FILE, made)
    for folder in {ctx.work / one.ir for one in every}:
        files.remove(folder)
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
    kept = scores[main_figure(scores)] / max(kind.value(whole), 1e-9)
    faster = (own.speedup.value if own.speedup else None) or 1.0
    return {
        **about,
        "bytes": facts["bytes"],
        "smaller": base["bytes"] / facts["bytes"],
        "peak_mb": facts["peak_rss_mb"],
        "serving_mb": facts["rss_serving_mb"],
        "runs_as": _runs_as(one, facts["precision"]),
        "p50_ms": own.latency_ms.p50.model_dump() if own.latency_ms else None,
        "speedup": own.speedup.model_dump() if own.speedup else None,
        "gain": _gain(one, own),
        **scores,
        "divergence": distance.of(kind, mine, whole),
        "efficiency": math.sqrt(faster * base["bytes"] / facts["bytes"]) * kept,
    }


def _runs_as(one: Variant, products: str) -> str:
    """Say in what it multiplies: the runtime names products by their weights' bits alone."""
    if one.weights_only:
        return f"{products} weights, whole activations"
    return f"{products}, activations rounded at each request" if one.name == _DYNAMIC else products


_EIGHT, _DYNAMIC = "int8 weights", "int8 dynamic"


def _gain(one: Variant, own: Figures) -> str:
    """Say whether the device runs a variant faster than the next wider one."""
    if one.name == WHOLE:
        return ""
    over = own.speedup_over
    if (over[WHOLE].low or 0.0) <= 1.0:
        return "no faster than f32"
    if one.bits < 8 and (over[_EIGHT].low or 0.0) <= 1.0:
        return "no faster than 8 bits"
    return "faster"
