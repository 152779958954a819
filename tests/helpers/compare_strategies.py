"""Every strategy with the same number of evaluations on one model, its data and one latency table.

    python -m tests.helpers.compare_strategies MODEL DATA --text sentence --work FOLDER

MODEL is the folder of a sealed training stage, DATA a folder with a file for each split. All
results go to one store in FOLDER, so what one strategy had run, another one gets for nothing; it
counts for both. The hypervolume is of (speedup, exp(-KL)) above (1, 0), of all that a strategy
evaluated for all of the speedups. Accuracy is of the least KL at each speedup, on rows that no
strategy saw.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from contextlib import suppress
from math import exp, inf, sqrt
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from jpqd.core import artifact, latency_table
from jpqd.core.compression_plan import Figures, hypervolume
from jpqd.core.progress import Progress
from jpqd.data import splits
from jpqd.model import loading, shrink
from jpqd.recipe import plugins
from jpqd.recipe.contracts import Context
from jpqd.recipe.task import Task
from jpqd.search import candidates, search, targets
from jpqd.search.candidates import Candidates
from jpqd.search.evaluator import Evaluator
from jpqd.search.options import STRATEGIES, Target
from jpqd.search.space import Space
from jpqd.search.store import Store
from jpqd.search.strategy import Problem, Spent, Strategy
from jpqd.training import evaluation
from jpqd.training.method import Training
from tests.helpers import latency

Point = tuple[float, float]
DATA_SEED = 42
"""The rows are the same for every seed of a strategy."""


def interval(found: Sequence[float]) -> tuple[float, float]:
    """Return the mean, and half of its 95% interval by Student's t; one figure has none."""
    if len(found) < 2:
        return float(np.mean(found)), inf
    spread = float(np.std(found, ddof=1)) / sqrt(len(found))
    return float(np.mean(found)), spread * float(stats.t.ppf(0.975, len(found) - 1))


class Comparison:
    def __init__(self, asked: argparse.Namespace) -> None:
        asked.work.mkdir(parents=True, exist_ok=True)
        self.asked, training = asked, _training(asked)
        network = loading.load(asked.model)
        self.store = Store(asked.work / "evaluations.jsonl", _content(asked, training))
        made = self.store.once(
            "orders", lambda: search.plain(candidates.orders(network, training, asked.samples))
        )
        self.tried = Candidates(network, search.ordered(made), training, asked.samples)
        table = latency_table.load(asked.table) if asked.table else latency.table(network)
        self.space = Space(tuple(shrink.sizes(network)), table, asked.precision)
        self.values = self.space.harms(self.tried.orders)
        select = training.data.split("select")
        order = np.random.default_rng(DATA_SEED).permutation(len(select))
        self.unseen = select.select(np.sort(order[asked.samples :][: asked.unseen]))

    def searched(self, strategy: Strategy, seed: int, speedup: float) -> Evaluator:
        """Let a strategy spend its evaluations on one speedup."""
        evaluator = Evaluator(
            self.space, self.values, self.tried.run, self.tried.whole_score, self.store,
            Progress(quiet=True),
        )  # fmt: skip
        limits = targets.limits(self.space, Target(speedup=speedup))
        evaluator.allow(self.asked.evaluations, inf)
        with suppress(Spent):
            strategy.search(Problem(self.space, self.values, limits, evaluator.evaluate, seed))
        return evaluator

    def accuracy(self, found: Figures) -> float:
        """Return the main figure on rows that no strategy saw."""
        return float(
            self.store.once(["unseen", len(self.unseen), found.layers], lambda: self._score(found))
        )

    def _score(self, found: Figures) -> float:
        tried, network = self.tried, self.tried.cut(found.layers)
        said = evaluation.predict(network, self.unseen, tried.kind, tried.collate, evaluation.BATCH)
        return tried.kind.value(said)

    def row(self, name: str) -> dict[str, list[float]]:
        """Return the figures of a strategy, one for each seed."""
        found: dict[str, list[float]] = {}
        for seed in range(1, self.asked.seeds + 1):
            points, started = [], time.monotonic()
            for speedup in self.asked.speedups:
                strategy = plugins.load(name, STRATEGIES, Strategy)()
                tried = self.searched(strategy, seed, speedup)
                best = min(tried.seen.values(), key=lambda figures: figures.kl or 0.0)
                found.setdefault(f"KL {speedup:g}x", []).append(best.kl or 0.0)
                found.setdefault(f"acc {speedup:g}x", []).append(100 * self.accuracy(best))
                points += self.points(tried)
            found.setdefault("hypervolume", []).append(hypervolume(points))
            found.setdefault("run", []).append(len(points))
            found.setdefault("seconds", []).append(time.monotonic() - started)
        return found

    def points(self, tried: Evaluator) -> list[Point]:
        """Return (speedup, exp(-KL)) of what was evaluated, in this order."""
        whole = targets.dense_ms(self.space)
        return [(whole / found.p50_ms, exp(-(found.kl or 0.0))) for found in tried.seen.values()]


def _training(asked: argparse.Namespace) -> Training:
    task = Task(
        name="compared", dataset=str(asked.data), text=tuple(asked.text), label=asked.label,
        labels=tuple(asked.labels), train_rows=asked.train_rows,
    )  # fmt: skip
    work, progress = asked.work, Progress(quiet=True)
    ctx = Context(
        "compared", str(asked.model), task, DATA_SEED, (), 5.0, {}, work, work, work, progress
    )
    tokenizer = loading.load_tokenizer(asked.model, task, work)
    data = splits.prepare(task, tokenizer, work, progress)
    return Training(ctx, tokenizer, data, bf16=False)


def _content(asked: argparse.Namespace, training: Training) -> dict[str, Any]:
    manifest = artifact.read(asked.model)
    assert manifest is not None
    weights = {name: entry.sha256 for name, entry in manifest.files.items()}
    data = splits.fingerprint(training.ctx.task, training.tokenizer)
    return {"model": weights, "data": data, "samples": asked.samples}


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("model", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--text", nargs="+", default=["text"])
    parser.add_argument("--label", default="label")
    parser.add_argument("--labels", nargs="*", default=[])
    parser.add_argument("--train-rows", type=int)
    parser.add_argument("--table", type=Path, help="the folder of a latency_table.json")
    parser.add_argument("--precision", default="int8")
    parser.add_argument("--samples", type=int, default=512)
    parser.add_argument("--unseen", type=int, default=1200, help="rows that no strategy sees")
    parser.add_argument("--evaluations", type=int, default=16, help="for each speedup")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--speedups", type=float, nargs="+", default=[2.0, 3.0, 4.5])
    parser.add_argument("--strategies", nargs="+", default=[*plugins.names(STRATEGIES)])
    parser.add_argument("--work", type=Path, required=True)
    return parser


def main() -> None:
    loading.quiet()
    asked = parser().parse_args()
    comparison = Comparison(asked)
    print(f"whole: {100 * comparison.tried.whole_score:.1f}; unseen rows: {len(comparison.unseen)}")
    for name in asked.strategies:
        found = {key: interval(figures) for key, figures in comparison.row(name).items()}
        said = ", ".join(f"{key} {mean:.4g}±{half:.2g}" for key, (mean, half) in found.items())
        print(f"{name}: {said}", flush=True)


if __name__ == "__main__":
    main()
