"""Gates on what an analysis found, such as `robustness.noise_10.drop<=1`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from jpqd.core.errors import UserError
from jpqd.core.manifest import Manifest, main_figure
from jpqd.recipe import plugins
from jpqd.report import words

_GATE = re.compile(
    r"(?P<path>[\w-]+(?:\.[\w-]+){2,3})\s*(?P<sign><=|>=)\s*(?P<limit>-?\d+(?:\.\d+)?)"
)
_EXAMPLE = (
    "Write STAGE.TEXTS.FIGURE, such as 'robustness.noise_10.drop<=1' for all models, or "
    "'robustness.ptq.clean.ece<=0.05' for one."
)
_USE = "robustness"
DROP = "drop"
"""The points that a model is below the baseline on the same rows."""


@dataclass(frozen=True)
class Gate:
    text: str
    stage: str
    model: str | None
    """None: every model beside the baseline."""
    texts: str
    figure: str
    at_least: bool
    limit: float


@dataclass(frozen=True)
class Outcome:
    gate: str
    passed: bool
    found: str

    def __str__(self) -> str:
        return f"{'kept' if self.passed else 'NOT kept'}: {self.gate} ({self.found})"


def parse(text: str) -> Gate:
    match = _GATE.fullmatch(text.strip())
    if match is None:
        raise UserError(f"--gate {text!r} is not a comparison. {_EXAMPLE}")
    stage, *model, texts, figure = match["path"].split(".")
    if any(not 0 < share < 1 for share in _noises(texts)):
        raise UserError(f"--gate {text!r}: noise is a percentage of words above 0 and below 100.")
    named = model[0] if model else None
    return Gate(text, stage, named, texts, figure, match["sign"] == ">=", float(match["limit"]))


def check(gates: Sequence[Gate], found: Sequence[Manifest], models: Sequence[str] | None) -> None:
    """Refuse names that will not be there, before hours of work.

    `models` are those of a stage `robustness` that is to come.
    """
    known = {name: list(figures) for name, figures in _by_name(found).items()}
    if models is not None:
        known[_USE] = list(models)
    for gate in gates:
        if not known:
            raise UserError(f"--gate {gate.text!r}: no stage of robustness is there or to come.")
        if gate.stage not in known:
            what = plugins.unknown(gate.stage, known)
            raise UserError(f"--gate {gate.text!r}: {what}. {_EXAMPLE}")
        if gate.model is not None and gate.model not in known[gate.stage]:
            what = plugins.unknown(gate.model, known[gate.stage])
            raise UserError(f"--gate {gate.text!r}: {what}.")


def _by_name(found: Sequence[Manifest]) -> dict[str, dict[str, Any]]:
    """Return the figures of each stage by its name, and by its use where no other has it."""
    known = {stage.stage: stage.metrics[_USE] for stage in found if stage.use == _USE}
    return {_USE: next(iter(known.values())), **known} if len(known) == 1 else known


def noises(gates: Sequence[Gate]) -> list[float]:
    """Return the shares of words with a slip that gates ask for."""
    return sorted({share for gate in gates for share in _noises(gate.texts)})


def _noises(texts: str) -> list[float]:
    match = re.fullmatch(r"noise_(\d+)(?:_(\d+))?", texts)
    return [float(f"{match[1]}.{match[2] or 0}") / 100] if match else []


def outcomes(gates: Sequence[Gate], stages: Sequence[Manifest]) -> list[Outcome]:
    """Check gates. Refuse names that the analysis does not have: nothing keeps their limit."""
    return [_outcome(gate, stages) for gate in gates]


def _outcome(gate: Gate, stages: Sequence[Manifest]) -> Outcome:
    models = _models(gate, stages)
    base, *others = models
    asked = [gate.model] if gate.model else others
    if not asked:
        return Outcome(gate.text, False, f"there is no model beside {base}")
    every = [(name, *_figure(gate, models[name], name)) for name in asked]
    fails = [one for one in every if not _keeps(gate, one[1])]
    worst = max(fails or every, key=lambda one: -one[1] if gate.at_least else one[1])
    return Outcome(gate.text, not fails, f"{worst[0]}: {worst[2]}")


def _models(gate: Gate, stages: Sequence[Manifest]) -> dict[str, dict[str, Any]]:
    known = _by_name(stages)
    if gate.stage not in known:
        raise UserError(f"--gate {gate.text!r}: {plugins.unknown(gate.stage, known)}. {_EXAMPLE}")
    models = known[gate.stage]
    if gate.model is not None and gate.model not in models:
        raise UserError(f"--gate {gate.text!r}: {plugins.unknown(gate.model, models)}.")
    return models


def _figure(gate: Gate, texts: dict[str, Any], model: str) -> tuple[float, str]:
    """Return a figure, and the figure with its interval as text."""
    meant = [name for name in texts if plain(name) == gate.texts]
    if len(meant) > 1:
        raise UserError(f"--gate {gate.text!r}: it may mean {' or '.join(map(repr, meant))}.")
    named = {plain(name): figures for name, figures in texts.items()}
    if gate.texts not in named:
        raise UserError(f"--gate {gate.text!r}: {plugins.unknown(gate.texts, named)}.")
    figures = named[gate.texts]
    if gate.figure == DROP:
        return _drop(gate, figures, model)
    value = figures.get(gate.figure)
    if not isinstance(value, int | float):
        known = [name for name, one in figures.items() if isinstance(one, int | float)]
        raise UserError(f"--gate {gate.text!r}: {plugins.unknown(gate.figure, [DROP, *known])}.")
    return value, f"{value:.4g}{_inside(figures.get(f'{gate.figure}_95'), 1)}"


def _drop(gate: Gate, figures: dict[str, Any], model: str) -> tuple[float, str]:
    if "difference" not in figures:
        raise UserError(f"--gate {gate.text!r}: {model} is the baseline. Name another model.")
    scale, _ = words.scale_of(main_figure(figures))
    low, high = figures["difference_95"]
    value = 0.0 - scale * figures["difference"]
    return value, f"{value:.4g}{_inside((-high, -low), scale)}"


def _inside(interval: Sequence[float] | None, scale: float) -> str:
    if not interval:
        return ""
    low, high = (0.0 + scale * bound for bound in interval)
    return f" [{low:.4g}, {high:.4g}]"


def plain(name: str) -> str:
    """Write the name of texts as a gate has it: `noise 10%` is noise_10."""
    return re.sub(r"\W+", "_", name.replace("%", "")).strip("_").lower()


def _keeps(gate: Gate, value: float) -> bool:
    return value >= gate.limit if gate.at_least else value <= gate.limit


def failed(found: Sequence[Outcome]) -> Iterator[str]:
    return (outcome.gate for outcome in found if not outcome.passed)
