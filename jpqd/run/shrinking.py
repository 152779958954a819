"""The recipe of `jpqd shrink`: drafted from a model, a file of texts and a target."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from jpqd import tasks
from jpqd.core import artifact, files, terminal
from jpqd.core.errors import UserError
from jpqd.core.names import MANIFEST
from jpqd.core.progress import Progress
from jpqd.recipe import plugins
from jpqd.recipe.schema import NAME_PATTERN
from jpqd.recipe.task import BUILTIN, Task, looks_local
from jpqd.search.options import Target
from jpqd.tasks import Kind

if TYPE_CHECKING:
    from jpqd.data.given import Given

RECIPE = "shrink.yaml"
TIMES = "{{use: latency_table, needs: [model], precisions: [int8], {where}}}"
NEAR = "{{use: latency_table, needs: [model, times, first], seconds: 20, {where}}}"
_HEAD = "ForSequenceClassification"
_SAMPLES = 512
_REPORTED, _CHOSEN, _TRAIN = 1000, 1000, 8000
"""The rows of each split of a large file. A small one gives a tenth to each of the first two."""

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
  text: {text}
  label: {label}{labels}
  max_length: {max_length}  # 99 of 100 texts fit
  holdout: {holdout:.4g}  # the share that is reported
  select_on: {select_on:.4g}  # the share that the search runs candidates on{train_rows}
seed: {seed}
stages:
  model: {{use: train, epochs: 0}}
  times: {times}
  first:
    use: search
    needs: [model, times]
    target: {target}
    samples: {samples}
    evaluations: 1
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
    epochs: 0
    methods:
      - {{use: prune, plan: plan, samples: {samples}}}
      - {quantize}
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
_QUANTIZE = "{use: quantize, smooth_quant: 0.8, range: min_max}"
_EVALUATIONS = 4
_BENCH_SECONDS = 20.0
_NAMES = "a run's name is made of letters, digits, dots, bars and underscores."


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

    def __post_init__(self) -> None:
        if not re.match(NAME_PATTERN, self.name):
            raise UserError(f"--name {self.name}: {_NAMES}")

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
    stem = Path(model).absolute().name if looks_local(model) else model.split("@")[0].split("/")[-1]
    plain = "".join(c if c.isascii() and (c.isalnum() or c in "_.-") else "_" for c in stem)
    return f"{plain.strip('_.-')[:60] or 'model'}_{told}"


def draft(wanted: Wanted, progress: Progress) -> tuple[Path, str]:
    """Write the recipe into the run's folder, the model's own answers too where labels lack.

    Return the recipe's path, and what is worth saying of it.
    """
    folder = _folder(wanted.model)
    kind = _kind(wanted.model, folder)
    from jpqd.data import draft as drafting  # seconds, which a mistake need not wait for
    from jpqd.data import given
    from jpqd.training import answers

    cache = wanted.runs / ".cache"
    found = given.read(wanted.data, wanted.text, kind, cache, progress)
    model = answers.load(wanted.model, folder, kind)
    texts = found.drawn()
    length, _ = drafting.longest(str(folder), texts.to_list(), found.text)
    wanted.run.mkdir(parents=True, exist_ok=True)
    table, rows = wanted.data, len(found.table)
    if found.label is None:
        table, rows = wanted.run / answers.FILE, len(texts)
        answers.write(model, texts, length, cache, table, progress)
    task = _task(found, kind, table, rows) | {"max_length": length}
    path = files.write_text(wanted.run / RECIPE, _written(wanted, task, rows))
    return path, _said(found, kind, rows)


def _folder(model: str) -> Path:
    """Return the model's folder, downloaded if need be; check it where it was sealed."""
    from jpqd.data import sources

    if not looks_local(model):
        sources.check_hub(model, Task(name="texts", dataset=BUILTIN))
    folder = sources.model_folder(model)
    if (folder / MANIFEST).is_file():
        artifact.open_sealed(folder)
    sources.require_tokenizer(folder)
    return folder


def _kind(model: str, folder: Path) -> Kind:
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    architecture = next(iter(config.get("architectures") or ()), "no architecture")
    if not architecture.endswith(_HEAD):
        raise UserError(
            f"model {model!r}: it is a {architecture}, and shrink takes a trained text classifier "
            f"or regression (...{_HEAD}). jpqd init drafts a recipe that trains one."
        )
    return tasks.of_config(config)


def _task(found: Given, kind: Kind, table: Path, rows: int) -> dict[str, Any]:
    """Return the keys of the recipe's task that depend on the data."""
    own = found.label is None
    is_class = not kind.is_number
    return {
        "dataset": {"train": str(table)},
        "use": "agreement" if own and is_class else kind.use,
        "why": "  # labels are the model's own answers" if own else "",
        "text": found.text,
        "label": found.label or "own_answer",
        "labels": f"\n  labels: {terminal.json_line(kind.names)}" if is_class else "",
        "holdout": min(0.1, _REPORTED / rows),
        "select_on": min(0.1, _CHOSEN / rows),
        "train_rows": f"\n  train_rows: {_TRAIN}" if rows > _TRAIN else "",
    }


def _written(wanted: Wanted, task: dict[str, Any], rows: int) -> str:
    def yaml(value: object) -> str:
        return terminal.json_line(value)

    device = yaml(wanted.device)
    threads = f"threads: {wanted.threads}" if wanted.threads else ""
    where = ", ".join(filter(None, (f"device: {device}", threads)))
    out = wanted.run / RECIPE
    return _RECIPE.format(
        **task | {key: yaml(task[key]) for key in ("dataset", "text", "label")},
        data=_in_comment(wanted.data.name), rows=rows, out=_in_comment(f"{out}{_runs(wanted)}"),
        name=yaml(wanted.name), model=yaml(wanted.model), seed=wanted.seed, device=device,
        target=yaml(wanted.target), samples=_SAMPLES, evaluations=_EVALUATIONS,
        seconds=_BENCH_SECONDS, quantize=_QUANTIZE, times=TIMES.format(where=where),
        near=NEAR.format(where=where), threads=threads and f"\n    {threads}",
    )  # fmt: skip


def _runs(wanted: Wanted) -> str:
    return "" if wanted.runs == Path("runs") else f" --runs {wanted.runs}"


def _in_comment(text: str) -> str:
    """Keep a comment in its line, whatever stands in the name."""
    return " ".join(terminal.plain(text).split())


def _said(found: Given, kind: Kind, rows: int) -> str:
    columns = " and ".join(found.text)
    if found.label is not None:
        return f"{rows:,} rows: {columns}, with labels in {found.label}"
    given = "" if kind.is_number else f" ({len(kind.names)} classes)"
    return (
        f"{rows:,} rows: {columns}, without labels that the model knows{given}. Its own answers "
        "stand for them, and what is reported is agreement with the model itself"
    )
