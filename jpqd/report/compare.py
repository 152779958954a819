"""Stages set against a baseline on the same rows: sealed predictions turned into one table."""

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
    """A stage over all runs. Shares are fractions, as in manifests."""

    stage: str
    n: int
    value: float
    each: list[float]
    """The value of every run, in the order of the runs."""
    model: dict[str, Any]
    difference: tuple[float, float, float] | None = None
    """To the baseline, with its 95% interval; None for the baseline itself."""
    mcnemar_p: float | None = None
    agreement: float | None = None
    """With the baseline: share of the same classes, or correlation of the predictions."""
    divergence: float | None = None
    """Of its probabilities from the baseline's. Tells stages apart long before accuracy does."""


@dataclass(frozen=True)
class Skipped:
    """A stage of a run that cannot be compared."""

    folder: str
    why: str
    expected: bool
    """Nothing is wrong with it; it only has no predictions of these rows."""

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
    """What the same stage of every run predicted."""

    manifests: list[Manifest]
    predictions: list[Predictions]


def find(root: Path, names: list[str]) -> list[Run]:
    """Find runs by their names below `root`, or by their folders; the newest without names."""
    found = [finder.find(root, name) for name in names] or [finder.find(root)]
    folders = [run.folder.resolve() for run in found]
    if again := {str(folder) for folder in folders if folders.count(folder) > 1}:
        raise UserError(f"a run counts once, but was given again: {', '.join(sorted(again))}")
    return found


def compare(runs: list[Run], baseline: str | None, wanted: list[str] | None) -> Comparison:
    """Every stage that was measured on the baseline's rows; only those `wanted`, if given."""
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
    """The stages to set against the baseline. One that is asked for by name must be there."""
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
    """The split whose predictions lie in the stage; none: ''."""
    return next(iter(manifest.splits), "")


def _unusable(run: Run, name: str, split: str | None) -> Skipped | None:
    """Why a stage cannot be compared on a split, or on any when none is given."""
    folder = run.folder / name
    if name not in _names(run):
        return Skipped(str(folder), f"no such stage; there are {', '.join(_names(run))}", False)
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
    """Rows carry no names: their labels, in the split's order, show that they are the same."""
    files = [predictions.load(run.folder / name / PREDICTIONS)[0] for run in runs]
    for run, file in zip(runs, files, strict=True):
        if not np.array_equal(file.labels, truth):
            raise UserError(
                f"{run.folder / name}: its {len(file.labels)} labels are not the {len(truth)} of "
                f"the baseline of {runs[0].folder}. Only stages that were measured on "
                "the same split of the same data can be compared; choose with --stages."
            )
    return _Stage([run.open(name).manifest for run in runs], files)


def _row(kind: Kind, name: str, stage: _Stage, against: _Stage | None) -> Row:
    each = [kind.value(found) for found in stage.predictions]
    figures = kind.compare(stage.predictions, against.predictions) if against else {}
    model = _model([manifest.model for manifest in stage.manifests])
    return Row(name, stage.predictions[0].count, float(np.mean(each)), each, model, **figures)


def _model(facts: list[ModelFacts | None]) -> dict[str, Any]:
    """Summarize the models of all runs: the mean of a number, each precision once."""
    found: dict[str, Any] = {}
    for key in ("encoder_share", "nonzero_share", "parameters"):
        values = [value for one in facts if one and (value := getattr(one, key)) is not None]
        found[key] = float(np.mean(values)) if values and len(values) == len(facts) else None
    precisions = sorted({one.precision for one in facts if one})
    return {**found, "precision": ", ".join(precisions) or None}


def table(found: Comparison) -> Group:
    """For the terminal: what the stages say, and below what they are."""
    cells = _cells(found)
    middle = cells[0].index("encoder %")
    says = _table(_title(found), [line[:middle] for line in cells])
    return Group(says, _table("Models", [[line[0], *line[middle:]] for line in cells]))


def _table(title: str, cells: list[list[str]]) -> Table:
    table = terminal.new_table(title)
    for number, column in enumerate(cells[0]):
        table.add_column(column, justify="right" if number else "left", overflow="fold")
    for line in cells[1:]:
        table.add_row(*line)
    return table


def markdown(found: Comparison) -> str:
    """For a page on GitHub."""
    head, *rows = _cells(found)
    lines = [head, ["---", *("---:" for _ in head[1:])], *rows]
    return "\n".join([f"{_title(found)}\n", *(f"| {' | '.join(line)} |" for line in lines)])


def _title(found: Comparison) -> str:
    names = ", ".join(Path(run).name for run in found.runs)
    n = found.stages[0].n
    return (
        f"{names}: {found.split}, n = {n}, against {found.baseline} on the same rows "
        f"(95% intervals over rows, {paired.RESAMPLES:,} resamples)"
    )


def _cells(found: Comparison) -> list[list[str]]:
    """The head and a line for each stage; what no stage has is left out."""
    lines = [_line(row, found.metric) for row in found.stages]
    optional = {"McNemar p": "mcnemar_p", "KL": "divergence"}
    never = [column for column, name in optional.items()
             if all(getattr(row, name) is None for row in found.stages)]  # fmt: skip
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
