"""The work of `use: search`: a space, values, a strategy, and the plan that comes of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel

from jpqd.core import (
    advice,
    artifact,
    compression_plan,
    environment,
    latency_table,
    processes,
    seals,
)
from jpqd.core.compression_plan import Units
from jpqd.core.errors import UserError
from jpqd.core.latency_table import LatencyTable
from jpqd.core.progress import Progress
from jpqd.data import splits
from jpqd.methods.prune import planned
from jpqd.methods.prune.surgeon import Order
from jpqd.model import families, loading, shrink
from jpqd.recipe import plugins
from jpqd.recipe.contracts import Context
from jpqd.search import candidates, pool, result, targets
from jpqd.search.candidates import Candidates, Orders
from jpqd.search.evaluator import Evaluator
from jpqd.search.finals import Final
from jpqd.search.options import STRATEGIES, SearchOptions
from jpqd.search.pool import Pool
from jpqd.search.rounds import Rounds
from jpqd.search.space import Space
from jpqd.search.store import Store
from jpqd.search.strategy import Strategy
from jpqd.training import references
from jpqd.training.method import Training

_STORE = "search-{}.jsonl"
"""A file in the cache of all runs: what one search had run, another one need not run again."""
_MATTERS = ("jpqd", "torch", "transformers")


def search(stage: SearchOptions, ctx: Context) -> dict[str, Any]:
    """Search, write the plan, and return its figures."""
    _refuse_processes(ctx.stage)
    strategy = plugins.load(stage.strategy, STRATEGIES, Strategy).of(stage, ctx.inputs)
    loading.quiet()
    folder, table = (ctx.inputs[name] for name in stage.needs)
    network = loading.load(folder)
    space = _space(stage, ctx, network, latency_table.load(table))
    training, content = prepared(stage, ctx)
    store = Store(ctx.cache / _STORE.format(seals.digest(content)[:16]), content)
    tried = candidates_of(stage, training, network, store)
    with _shared(ctx, content) as trials:
        evaluator = _evaluator(space, tried, store, ctx.progress, trials)
        rounds = Rounds(stage, evaluator, strategy, ctx.seed)
        chosen = rounds.run()
    if stage.finals:
        finalists = rounds.best()[: stage.finals.count]
        chosen, *others = Final(stage.finals, tried, training).run(finalists)
        evaluator.note([chosen, *others])
    metric = training.kind.main(tried.said)
    units = Units(of=planned.digest(network), left=tried.left(chosen.layers))
    plan = result.plan(stage, chosen, units, evaluator, len(tried.held_out), metric)
    compression_plan.save(plan, ctx.out)
    strategy.save(ctx.out)
    result.say(plan, targets.dense_precision(space), ctx.progress)
    return {"plan": result.metrics(plan), "data": training.data.facts()}


def prepared(stage: SearchOptions, ctx: Context) -> tuple[Training, dict[str, Any]]:
    """Prepare the rows; return also all that figures depend on beside the structure."""
    folder = ctx.inputs[stage.needs[0]]
    tokenizer = loading.load_tokenizer(folder, ctx.task, ctx.cache)
    data = splits.prepare(ctx.task, tokenizer, ctx.cache, ctx.progress)
    data = references.added(data, ctx, tokenizer, "select")
    training = Training(ctx, tokenizer, data, bf16=False)
    return training, _content(stage, folder, training)


@contextmanager
def _shared(ctx: Context, content: dict[str, Any]) -> Iterator[Pool | None]:
    """Share structures with workers where the user has named a store, until the search ends."""
    if not (url := pool.address()):
        yield None
        return
    about = {"run": str(ctx.out.parent.resolve()), "stage": ctx.stage, "parts": pool.parts(content)}
    own = seals.digest([content, about["run"]])[:16]  # another run may end before this one
    trials = pool.share(url, f"{ctx.stage} {own}", about)
    ctx.progress.say("    structures are shared with every `jpqd search worker` of the store")
    try:
        yield trials
    finally:
        trials.close()


def _refuse_processes(name: str) -> None:
    if processes.world_size() > 1:
        raise UserError(
            f"{name}: a search runs in one process. Run the recipe up to it without torchrun: "
            f"jpqd run RECIPE --until {name}"
        )


def _space(
    stage: SearchOptions, ctx: Context, network: PreTrainedModel, table: LatencyTable
) -> Space:
    """Make the space, and refuse a table of another shape or a target out of reach."""
    where = ctx.stage
    sizes = tuple(shrink.sizes(network))
    ours, theirs = (len(sizes), *families.whole_layer(network)), _shape(table)
    words = network.config.vocab_size
    if table.words not in (0, words):
        raise UserError(
            f"{where}: the latency table of {stage.needs[1]} is of a model with {table.words:,} "
            f"words, and that of {stage.needs[0]} has {words:,}. Measure a table for this model."
        )
    if ours != theirs:
        raise UserError(
            f"{where}: the latency table of {stage.needs[1]} is of {_words(theirs)}, and the model "
            f"of {stage.needs[0]} has {_words(ours)}. Measure a table for this model."
        )
    floor = advice.load(ctx.inputs[stage.advice]).floor if stage.advice else 0.0
    space = Space(sizes, table, stage.precision, floor)
    targets.refuse_unreachable(space, stage.target, where, stage.margin)
    return space


def _shape(table: LatencyTable) -> tuple[int, int, int]:
    return table.layers, table.heads, table.neurons


def _words(shape: tuple[int, ...]) -> str:
    layers, heads, neurons = shape
    return f"{layers} layers of {heads} heads and {neurons} neurons"


def _content(stage: SearchOptions, folder: Path, training: Training) -> dict[str, Any]:
    manifest = artifact.read(folder)
    assert manifest is not None
    ctx = training.ctx
    return {
        "model": {name: entry.sha256 for name, entry in manifest.files.items()},
        "data": splits.fingerprint(ctx.task, training.tokenizer),
        "order": "surgeon",  # what was cut by another one is not taken from the cache
        "samples": stage.samples,
        "seed": ctx.seed,
        "precision": stage.precision,
        "versions": {package: environment.installed(package) for package in _MATTERS},
    }


def candidates_of(
    stage: SearchOptions, training: Training, network: PreTrainedModel, store: Store
) -> Candidates:
    """Put the units in order, once."""
    torch.nn.Module.to(network, processes.device())
    training.ctx.progress.say(f"    orders heads and neurons by {stage.samples} rows of train")
    made = store.once("orders", lambda: plain(candidates.orders(network, training, stage.samples)))
    return Candidates(network, ordered(made), training, stage.samples)


def plain(orders: Orders) -> list[Any]:
    """Write orders as the store keeps them."""
    return [own and (own.units, own.harm) for own in orders]


def ordered(made: list[Any]) -> Orders:
    """Read them again."""
    return [own and Order(tuple(own[0]), tuple(own[1])) for own in made]


def _evaluator(
    space: Space, tried: Candidates, store: Store, progress: Progress, trials: Pool | None
) -> Evaluator:
    return Evaluator(
        space, space.harms(tried.orders), tried.run, tried.whole_score, store, progress, trials
    )
