"""The recipe of `jpqd shrink`: drafted from a model, a file of texts and a target."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from jpqd.core import files, terminal
from jpqd.core.errors import UserError
from jpqd.core.progress import Progress
from jpqd.recipe import plugins, recipes
from jpqd.run import finder, given_model
from jpqd.run.given_model import Described
from jpqd.search.options import Target

RECIPE = "shrink.yaml"
TIMES = "{{use: latency_table, needs: [model], precisions: [int8], {where}}}"
NEAR = "{{use: latency_table, needs: [model, times, first], seconds: 10, {where}}}"
_SAMPLES = 512

_RECIPE = """\
# Written by `jpqd shrink` from {data} ({rows:,} rows). The same again:
#
#     jpqd run {out}
name: {name}
model: {model}
task:
  name: {name}
  dataset: {dataset}
  use: {use}{why}
  text: {text}{label}{labels}
  max_length: {max_length}  # 99 of 100 texts fit
  holdout: {holdout:.4g}  # the share that is reported
  select_on: {select_on:.4g}  # the share that candidates run on{train_rows}{max_unusable}
seed: {seed}
stages:
  model: {{use: train, epochs: 0}}
  times: {times}
  first:
    use: search
    needs: [model, times]
    target: {target}
    samples: {samples}
    evaluations: {first}
  near: {near}  # the times of what was found, measured
  plan:
    use: search
    needs: [model, near]
    target: {target}
    samples: {samples}
    evaluations: {evaluations}
  small:
    use: train
    needs: [model]
{small}
  ptq: {{use: train, needs: [model], epochs: 0, methods: [{quantize}]}}
  small_ir: {{use: ov_ir, needs: [small]}}
  ptq_ir: {{use: ov_ir, needs: [ptq]}}
  bench:
    use: bench
    needs: [ptq_ir, small_ir]  # the speed of small_ir is against the first
    arms: [ptq_ir, small_ir]
    modes: [latency]
    seconds: {seconds}
    device: {device}{threads}
"""
_CUT = """\
    epochs: 0
    methods:
      - {{use: prune, plan: plan, samples: {samples}}}
      - {quantize}"""
# Trained with smooth_quant, queries, keys and values have quantizers of their own: an IR with half
# as many quantizers again, and slower.
_TRAINED = """\
    epochs: {epochs:g}
    batch_size: 32
    learning_rate: 1.0e-4
    average: 0.9995
    dropout: 0.0
    methods:
      - {{use: prune, plan: plan, samples: {samples}, schedule: one_shot, start: 0}}
      - {{use: quantize}}
      - {{use: distill, teacher: model, weight: 1.0}}"""
_QUANTIZE = "{use: quantize, smooth_quant: 0.8, range: min_max}"
_EVALUATIONS, _FOR_A_DROP = 2, 6
"""The candidates of the second search; of both where the fastest model has to be found."""
_BENCH_SECONDS = 15.0
CORRECTIONS = 2
"""The most plans that are made again where a time was missed."""
_MEASURED = "a model without was measured, and was not as fast as the table said"


@dataclass(frozen=True)
class Wanted:
    """The arguments of the command."""

    model: str
    data: Path
    text: tuple[str, ...]
    target: dict[str, float]
    name: str
    seed: int
    device: str
    runs: Path
    threads: int | None = None
    epochs: float = 0.0
    """Passes over train in which the small model learns to answer like the whole one."""

    @property
    def run(self) -> Path:
        return self.runs / self.name


def target(given: list[str]) -> dict[str, float]:
    """Read targets such as `speedup=2`."""
    found: dict[str, float] = {}
    for text in given:
        name, _, value = (part.strip() for part in text.partition("="))
        if name not in Target.model_fields:
            raise UserError(f"--target {text}: {plugins.unknown(name, Target.model_fields)}.")
        if name in found:
            raise UserError(f"--target {text}: {name} is given twice. Keep one of them.")
        try:
            found[name] = float(value)
        except ValueError:
            raise UserError(f"--target {text}: give a number, such as {name}=2.") from None
    try:
        return Target.model_validate(found).given()
    except ValidationError as error:
        first = error.errors()[0]
        raise UserError(f"--target {' '.join(given)}: {first['msg']}") from None


def default_name(model: str, target: dict[str, float]) -> str:
    """Name a run by its model and its target, such as `teacher_speedup2`."""
    told = "_".join(f"{name}{value:g}" for name, value in target.items())
    return f"{given_model.stem(model)}_{told}"


def draft(wanted: Wanted, progress: Progress) -> tuple[Path, str]:
    """Write the recipe into the run's folder, the model's own answers too where labels lack.

    Return the recipe's path, and what is worth saying of it.
    """
    given = given_model.Wanted(
        "shrink", wanted.model, wanted.data, wanted.text, wanted.runs, wanted.name, cuts=True,
        dense="speedup" in wanted.target,
    )  # fmt: skip
    found = given_model.describe(given, progress)
    path = files.write_text(wanted.run / RECIPE, _written(wanted, found))
    margin = _earlier_margin(wanted.run, recipes.load(path).plain())
    if margin:
        go_further(path, margin)
    return path, found.said


def go_further(path: Path, margin: float) -> None:
    """Give the recipe's plan a margin, in place of an earlier one."""
    text = re.sub(r"\n    margin: .*", "", path.read_text(encoding="utf-8"))
    head, plan, rest = text.partition("\n  plan:\n")
    line = f"\n    margin: {margin:g}  # {_MEASURED}"
    rest = re.sub(r"\n    target: .*", rf"\g<0>{line}", rest, count=1)
    files.write_text(path, head + plan + rest)


def _earlier_margin(run: Path, new: dict[str, Any]) -> float | None:
    """Return the margin that this run's plan has, where the model and its target are the same."""
    earlier, new = finder.read_recipe(run) or {}, json.loads(json.dumps(new))
    margin: float | None = earlier.get("stages", {}).get("plan", {}).get("margin")
    for recipe in (earlier, new):
        recipe.get("stages", {}).pop("small", None)
        recipe.get("stages", {}).get("plan", {}).pop("margin", None)
    return margin if earlier == new else None


def _written(wanted: Wanted, found: Described) -> str:
    yaml, task = terminal.json_line, found.task
    device = yaml(wanted.device)
    threads = f"threads: {wanted.threads}" if wanted.threads else ""
    where = ", ".join(filter(None, (f"device: {device}", threads)))
    out = _in_comment(f"{wanted.run / RECIPE}{_runs(wanted)}")
    timed = {"speedup", "p50_ms"} & wanted.target.keys()
    small = (_TRAINED if wanted.epochs else _CUT).format(
        epochs=wanted.epochs, samples=_SAMPLES, quantize=_QUANTIZE
    )
    drop = _FOR_A_DROP if "accuracy_drop" in wanted.target and not timed else 0
    return _RECIPE.format(
        **task | {key: yaml(task[key]) for key in ("dataset", "text")} | _optional(found),
        data=_in_comment(wanted.data.name), rows=found.rows, out=out,
        name=yaml(wanted.name), model=yaml(wanted.model), seed=wanted.seed, device=device,
        target=yaml(wanted.target), samples=_SAMPLES,
        first=drop or 1, evaluations=drop or _EVALUATIONS,
        seconds=_BENCH_SECONDS, small=small, quantize=_QUANTIZE, times=TIMES.format(where=where),
        near=NEAR.format(where=where), threads=threads and f"\n    {threads}",
    )  # fmt: skip


def _optional(found: Described) -> dict[str, str]:
    """Write what not every recipe has."""
    task = found.task
    lines = {
        name: f"\n  {name}: {terminal.json_line(task[name])}" if name in task else ""
        for name in _NOT_ALWAYS
    }
    return lines | {"why": "  # labels are the model's own answers" if found.is_own else ""}


_NOT_ALWAYS = ("label", "labels", "train_rows", "max_unusable")
"""Keys of a task that not every recipe has."""


def _runs(wanted: Wanted) -> str:
    return "" if wanted.runs == Path("runs") else f" --runs {wanted.runs}"


def _in_comment(text: str) -> str:
    """Keep a comment in its line, whatever stands in the name."""
    return " ".join(terminal.plain(text).split())
