"""Trials of Optuna: a share for each part, scaled to the limits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from jpqd.core.errors import UserError
from jpqd.search.space import Choice
from jpqd.search.strategy import Problem

LEAST = 0.02
"""The smallest share that is suggested for a part."""


def load(asked_by: str) -> Any:
    try:
        import optuna
    except ImportError:
        raise UserError(
            f"{asked_by} needs optuna, which is not installed. "
            "Try: pip install 'jpqd[search]'. Or leave it out."
        ) from None
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna


def run(
    study: Any, problem: Problem, decode: Callable[[Sequence[float]], Choice], *, time: bool
) -> None:
    """Ask and tell without end; with `time`, it is an objective beside the KL."""
    parts = range(len(problem.space.options))
    while True:
        trials = [study.ask() for _ in range(problem.together)]
        shares = [
            [trial.suggest_float(f"part{part}", LEAST, 1.0, log=True) for part in parts]
            for trial in trials
        ]
        every = problem.evaluate_all([decode(own) for own in shares])
        for trial, found in zip(trials, every, strict=True):
            study.tell(trial, [found.kl, found.p50_ms] if time else found.kl)
