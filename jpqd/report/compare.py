"""The comparison of stages with a baseline on the same rows, from sealed predictions."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Group
from rich.table import Table

from jpqd import tasks
from jpqd.core import terminal
from jpqd.core.errors import UserError
from jpqd.core.manifest import Manifest, ModelFacts
from jpqd.core.names import PREDICTIONS
from jpqd.report import words
from jpqd.run import finder
from jpqd.run.finder import Run
from jpqd.scores import paired, predictions
from jpqd.scores.predictions import Predictions
from jpqd.tasks import Kind


@dataclass(frozen=True)
class Row:
    """One stage over all runs. Shares are fractions, as in manifests."""

    stage: str
    n: int
    value: float
    each: list[float]
    """The value of every run, in the order of the runs."""
    model: dict[str, Any]
    difference: tuple[float, float, float] | None = None
    """The difference to the baseline with its 95% interval; None for the baseline itself."""
    mcnemar_p: float | None = None
    agreement: float | None = None
    """The share of classes equal to the baseline's, or the correlation with its predictions."""
    divergence: float | None = None
    """The divergence from the baseline's probabilities; more sensitive than accuracy."""


@dataclass(frozen=True)
class Skipped:
    """A stage of a run that cannot be compared."""

    folder: str
    why: str
    expected: bool
    """True where nothing is wrong: the stage just has no predictions of these rows."""

    def __str__(self) -> str:
        return f"{self.folder}: {self.why}"


@dataclass(frozen=True)
class Comparison:
    runs: list[str]
    baseline: str
    split: str
    metric: str
    stages: list[Row]
    skipped: list[Skipped]

    def plain(self) -> dict[str, Any]:
        return {**asdict(self), "resamples": paired.RESAMPLES}

    def warnings(self) -> list[str]:
        return [f"left out: {entry}" for entry in self.skipped if not entry.expected]


@dataclass(frozen=True)
class _Stage:
    """The predictions of one stage in every run."""

    manifests: list[Manifest]
    predictions: list[Predictions]


def find(root: Path, names: list[str]) -> list[Run]:
    """Find runs by their names below `root`, or by their folders; the newest without names."""
    runs = [finder.find(root, name) for name in names] or [finder.find(root)]
    folders = [run.folder.resolve() for run in runs]
    if again := {str(folder) for folder in folders if folders.count(folder) > 1}:
        raise UserError(
            f"a run was given more than once: {', '.join(sorted(again))}. Name each run once."
        )
    return runs


def compare(runs: list[Run], baseline: str | None, wanted: list[str] | None) -> Comparison:
    """Compare every stage measured on the baseline's rows, or only the `wanted` ones."""
    baseline = baseline or runs[0].baseline()
    _refuse([why for run in runs if (why := _unusable(run, baseline, None))])
    split = _split(runs[0].open(baseline).manifest)
    names, skipped = _choose(runs, baseline, split, wanted)
    truth, facts = predictions.load(runs[0].folder / baseline / PREDICTIONS)
    kind = tasks.of_facts(facts)
    against = _read(runs, baseline, truth.labels)
    rows = [_row(kind, baseline, against, None)]
    rows += [_row(kind, name, _read(runs, name, truth.labels), against) for name in names]
    folders = [str(run.folder) for run in runs]
    return Comparison(folders, baseline, split, kind.metrics[0], rows, skipped)


def _choose(
    runs: list[Run], baseline: str, split: str, wanted: list[str] | None
) -> tuple[list[str], list[Skipped]]:
    """Choose the stages to compare; a stage that is asked for by name must be there."""
    names, skipped = [], []
    for name in dict.fromkeys(wanted or [name for run in runs for name in _names(run)]):
        reasons = [why for run in runs if (why := _unusable(run, name, split))]
        if not reasons and name != baseline:
            names.append(name)
        # Where one run says that there is nothing to compare, others need not have the stage.
        skipped += [why for why in reasons if why.expected] or reasons
    if wanted:
        _refuse(skipped)
    if not names:
        reasons_given = "".join(f"\n{entry}" for entry in skipped)
        raise UserError(f"no other stage to compare with {baseline} on {split}{reasons_given}")
    return names, skipped


def _names(run: Run) -> list[str]:
    return [*run.names, *run.unsealed]


def _split(manifest: Manifest) -> str:
    """Return the split whose predictions the stage holds; empty without one."""
    return next(iter(manifest.splits), "")


def _unusable(run: Run, name: str, split: str | None) -> Skipped | None:
    """Return why a stage cannot be compared on a split; None where it can."""
    folder = run.folder / name
    if name not in _names(run):
        return Skipped(str(folder), f"no such stage; the run has {', '.join(_names(run))}", False)
    if name in run.unsealed:
        return Skipped(str(folder), "not sealed; run its recipe to the end", False)
    sealed = run.open(name)
    measured = _split(sealed.manifest)
    if PREDICTIONS not in sealed.manifest.files or not measured:
        return Skipped(str(folder), "has no predictions", True)
    if split not in (measured, None):
        return Skipped(str(folder), f"measured on {measured}, not on {split}", True)
    if sealed.broken(PREDICTIONS):
        return Skipped(str(folder), f"{PREDICTIONS} is damaged; run its recipe again", False)
    return None


def _refuse(reasons: list[Skipped]) -> None:
    if reasons:
        raise UserError("cannot compare\n" + "\n".join(map(str, reasons)))


def _read(runs: list[Run], name: str, truth: np.ndarray) -> _Stage:
    """Read a stage's predictions; refuse labels that differ, which show that rows differ."""
    files = [predictions.load(run.folder / name / PREDICTIONS)[0] for run in runs]
    for run, file in zip(runs, files, strict=True):
        if not np.array_equal(file.labels, truth):
            raise UserError(
                f"{run.folder / name}: its {len(file.labels)} labels differ from the {len(truth)} "
                f"labels of the baseline of {runs[0].folder}. Only stages that were measured on "
                "the same split of the same data can be compared; choose with --stages."
            )
    return _Stage([run.open(name).manifest for run in runs], files)


def _row(kind: Kind, name: str, stage: _Stage, against: _Stage | None) -> Row:
    each = [kind.value(answers) for answers in stage.predictions]
    figures = kind.compare(stage.predictions, against.predictions) if against else {}
    model = _model([manifest.model for manifest in stage.manifests])
    return Row(name, stage.predictions[0].count, float(np.mean(each)), each, model, **figures)


def _model(facts: list[ModelFacts | None]) -> dict[str, Any]:
    """Summarize the models of all runs: the mean of a number, each precision once."""
    means: dict[str, Any] = {}
    for key in ("encoder_share", "nonzero_share", "parameters"):
        values = [value for one in facts if one and (value := getattr(one, key)) is not None]
        means[key] = float(np.mean(values)) if values and len(values) == len(facts) else None
    precisions = sorted({one.precision for one in facts if one})
    return {**means, "precision": ", ".join(precisions) or None}


def table(comparison: Comparison) -> Group:
    """Return tables for the terminal: the figures of the stages, and below their models."""
    cells = _cells(comparison)
    middle = cells[0].index("encoder %")
    says = _table(_title(comparison), [line[:middle] for line in cells])
    return Group(says, _table("Models", [[line[0], *line[middle:]] for line in cells]))


def _table(title: str, cells: list[list[str]]) -> Table:
    table = terminal.new_table(title)
    for number, column in enumerate(cells[0]):
        table.add_column(column, justify="right" if number else "left", overflow="fold")
    for line in cells[1:]:
        table.add_row(*line)
    return table


def markdown(comparison: Comparison) -> str:
    """Return a table for GitHub."""
    head, *rows = _cells(comparison)
    lines = [head, ["---", *("---:" for _ in head[1:])], *rows]
    return "\n".join([f"{_title(comparison)}\n", *(f"| {' | '.join(line)} |" for line in lines)])


def _title(comparison: Comparison) -> str:
    names = ", ".join(Path(run).name for run in comparison.runs)
    n = comparison.stages[0].n
    return (
        f"{names}: {comparison.split}, n = {n}, against {comparison.baseline} on the same rows "
        f"(95% intervals over rows, {paired.RESAMPLES:,} resamples)"
    )


def _cells(comparison: Comparison) -> list[list[str]]:
    """Return the head and a line for each stage, without columns that are empty."""
    lines = [_line(row, comparison.metric) for row in comparison.stages]
    optional = {"McNemar p": "mcnemar_p", "KL": "divergence"}
    never = [column for column, name in optional.items()
             if all(getattr(row, name) is None for row in comparison.stages)]  # fmt: skip
    lines = [{k: v for k, v in line.items() if k not in never} for line in lines]
    return [list(lines[0]), *(list(line.values()) for line in lines)]


def _line(row: Row, metric: str) -> dict[str, str]:
    percent = " %" if words.is_percent(metric) else ""
    value, *each = (words.score(metric, x) for x in (row.value, *row.each))
    return {
        "stage": row.stage,
        f"{metric}{percent}": f"{value} ({', '.join(each)})" if len(each) > 1 else value,
        f"{words.points(metric)} {words.INTERVAL}": words.difference(metric, row.difference),
        "McNemar p": _number(row.mcnemar_p, ".3g"),
        f"agreement{percent}": words.score(metric, row.agreement),
        "KL": _number(row.divergence, ".4f"),
        "encoder %": _number(row.model["encoder_share"], ".1f", 100),
        "non-zero %": _number(row.model["nonzero_share"], ".1f", 100),
        "parameters": _number(row.model["parameters"], ",.0f"),
        "precision": row.model["precision"] or words.NONE,
    }


def _number(value: float | None, style: str, scale: float = 1) -> str:
    return words.NONE if value is None else format(value * scale, style)
