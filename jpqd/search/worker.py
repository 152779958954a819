"""A worker: it runs structures of a search that another process leads."""

from __future__ import annotations

import time
from typing import Any

from jpqd.core.errors import UserError
from jpqd.model import loading
from jpqd.recipe.contracts import Context
from jpqd.search import search
from jpqd.search.options import SearchOptions
from jpqd.search.pool import Pool, parts
from jpqd.search.store import Store

_PAUSE = 0.5
_STORE = "scores.jsonl"


def work(stage: SearchOptions, ctx: Context, trials: Pool) -> int:
    """Take structures until the search ends; return their number."""
    loading.quiet()
    network = loading.load(ctx.inputs[stage.needs[0]])
    training, content = search.prepared(stage, ctx)
    _refuse_other(content, trials)
    tried = search.candidates_of(stage, training, network, Store(ctx.work / _STORE, content))
    ctx.progress.say("    ready")
    done = 0
    while trials.is_open:
        if trials.take(tried.run):
            done += 1
            ctx.progress.say(f"    {done} done")
        else:
            time.sleep(_PAUSE)
    return done


def _refuse_other(content: dict[str, Any], trials: Pool) -> None:
    ours, theirs = parts(content), trials.about["parts"]
    other = ", ".join(name for name in ours if ours[name] != theirs.get(name))
    if other:
        raise UserError(
            f"This worker would not compute what the search asks for: other {other}. "
            "Give it the same run's folder (--run), data and versions."
        )
