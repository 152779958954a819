"""An agent that starts from the policy of another model, and one that starts anew.

    python -m tests.helpers.compare_policies MODEL DATA --from OTHER --text sentence --work FOLDER

Both models are folders of sealed training stages, DATA has a file for each split. For each seed and
speedup an agent searches for the other model, then two search for the model: one with the policy
of the first. The hypervolume, of (speedup, exp(-KL)) above (1, 0), is of the first 1, 2, ...
evaluations for each of the speedups together.
"""

from __future__ import annotations

import copy
from math import inf
from pathlib import Path

import numpy as np

from jpqd.core.compression_plan import hypervolume
from jpqd.model import loading
from jpqd.search.evaluator import Evaluator
from jpqd.search.strategies.agent import Agent
from tests.helpers import compare_strategies
from tests.helpers.compare_strategies import Comparison, interval

Curve = list[float]
"""The hypervolume after 1, 2, ... evaluations of each speedup."""


def curve(on: Comparison, tried: list[Evaluator]) -> Curve:
    runs = [on.points(evaluator) for evaluator in tried]
    counts = range(1, on.asked.evaluations + 1)
    return [hypervolume([point for run in runs for point in run[:count]]) for count in counts]


def searched(model: Comparison, other: Comparison, seed: int) -> dict[str, list[Evaluator]]:
    """Let agents search: anew, and from what an agent learned on the other model."""
    found: dict[str, list[Evaluator]] = {"anew": [], "moved": []}
    for speedup in model.asked.speedups:
        agents = {"anew": Agent(), "moved": Agent()}
        other.searched(agents["moved"], seed, speedup)
        for name, agent in agents.items():
            found[name].append(model.searched(agent, seed, speedup))
    return found


def reached(anew: Curve, moved: Curve) -> float:
    """Return the evaluations that the moved agent needed for what the new one had in the end."""
    enough = [count for count, area in enumerate(moved, 1) if area >= anew[-1]]
    return enough[0] if enough else inf


def table(name: str, rows: list[list[float]]) -> None:
    found = [interval(column) for column in zip(*rows, strict=True)]
    print(f"{name}: " + ", ".join(f"{mean:.4g}±{half:.2g}" for mean, half in found), flush=True)


def main() -> None:
    loading.quiet()
    parser = compare_strategies.parser()
    parser.add_argument("--from", type=Path, required=True, dest="other")
    asked = parser.parse_args()
    source = copy.copy(asked)
    source.model, source.table, source.work = asked.other, None, asked.work / "other"
    model, other = Comparison(asked), Comparison(source)
    curves: dict[str, list[Curve]] = {"anew": [], "moved": []}
    kls: dict[str, list[list[float]]] = {"anew": [], "moved": []}
    for seed in range(1, asked.seeds + 1):
        for name, tried in searched(model, other, seed).items():
            curves[name].append(curve(model, tried))
            seen = [[found.kl or 0.0 for found in one.seen.values()] for one in tried]
            kls[name].append([area for own in seen for area in (own[0], min(own))])
            print(seed, name, [f"{area:.3f}" for area in curves[name][-1]], seen, flush=True)
    for name in curves:
        table(f"{name}: hypervolume after 1, 2, ... evaluations of each speedup", curves[name])
        table(f"{name}: KL of the first and of the best, for each speedup", kls[name])
    pairs = list(zip(curves["anew"], curves["moved"], strict=True))
    table("moved - anew", [list(np.subtract(moved, anew)) for anew, moved in pairs])
    print("evaluations to what anew had in the end:", [reached(*pair) for pair in pairs])


if __name__ == "__main__":
    main()
