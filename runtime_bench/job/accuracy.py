"""An arm's accuracy: from the stage that measured it, or from its answers to every row."""

from typing import Any

import numpy as np

from jpqd.core.bench_result import Accuracy
from runtime_bench.job.arms import Arm
from runtime_bench.job.workload import Truth

_METRICS = ("accuracy", "pearson")


def of_manifest(arm: Arm, split: str | None) -> Accuracy | None:
    """Of the task's reported split, or whatever split the stage measured."""
    if arm.manifest is None:
        return None
    measured = {k: v for k, v in arm.manifest.metrics.items() if isinstance(v, dict) and "n" in v}
    for name in sorted(measured, key=lambda name: name != split):
        if found := _accuracy(measured[name], name, "manifest"):
            return found
    return None


def of_logits(truth: Truth, logits: np.ndarray, split: str) -> Accuracy | None:
    from jpqd.scores import metrics

    return _accuracy(metrics.score(truth.labels, logits, truth.values), split, "measured")


def _accuracy(figures: dict[str, Any], split: str, source: Any) -> Accuracy | None:
    for metric in _METRICS:
        if metric in figures:
            return Accuracy(
                metric=metric,
                value=figures[metric],
                n=figures["n"],
                interval=figures.get(f"{metric}_95"),
                split=split,
                source=source,
            )
    return None
