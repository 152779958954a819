"""An arm's accuracy: from the stage that measured it, or from its answers to every row."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from jpqd.core.bench_result import Accuracy
from jpqd.core.manifest import interval, main_figure
from jpqd.scores import predictions
from jpqd.scores.predictions import Predictions
from runtime_bench.backends.eager import Eager
from runtime_bench.job.arms import Arm
from runtime_bench.job.workload import Truth


def of_manifest(arm: Arm, split: str | None, precisions: Iterable[str]) -> Accuracy | None:
    """Return the accuracy on the task's reported split, or on any split the stage measured.

    The figures of an IR hold for an arm that multiplies in the precisions of the IR's check: a
    device may prefer bf16, and answers otherwise then.
    """
    if arm.manifest is None:
        return None
    checked = [set(facts["matmuls"]) for facts in arm.manifest.checks.values()]
    if checked and set(precisions) not in checked:
        return None
    measured = arm.manifest.splits
    for name in sorted(measured, key=lambda name: name != split):
        return _accuracy(measured[name], name, "manifest")
    return None


def of_writer(arm: Arm, precision: str) -> Accuracy | None:
    """Return what a language model's stage measured: of an IR as devices run it, the last one."""
    measured = arm.manifest.splits if arm.manifest else {}
    found = [name for name, figures in measured.items() if "perplexity" in figures]
    is_other = isinstance(arm.backend, Eager) and precision != "f32"
    if is_other or not found:
        return None
    return _accuracy(measured[found[-1]], found[-1], "manifest", "log_likelihood")


def of_logits(truth: Truth, logits: list[np.ndarray], split: str) -> Accuracy | None:
    """Score an arm's answers, row by row."""
    return _accuracy(truth.kind.score(answers(truth, logits)), split, "measured")


def answers(truth: Truth, logits: list[np.ndarray]) -> Predictions:
    """Put the answers to single rows together."""
    kind = truth.kind
    labels = [
        kind.pad([label], answer.shape[1] if answer.ndim > 1 else 1)
        for label, answer in zip(truth.labels, logits, strict=True)
    ]
    return predictions.joined(
        [kind.answers(a, one) for a, one in zip(logits, labels, strict=True)],
        [kind.targets(one) for one in labels],
    )


def _accuracy(
    figures: dict[str, Any], split: str, source: Any, metric: str | None = None
) -> Accuracy | None:
    """Return the main figure; None where nothing says what is right."""
    metric = metric or main_figure(figures)
    if metric == "n":
        return None
    return Accuracy(
        metric=metric,
        value=figures[metric],
        n=figures["n"],
        interval=interval(figures, metric),
        split=split,
        source=source,
    )
