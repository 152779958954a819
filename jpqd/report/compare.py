"""The comparison of stages with a baseline on the same rows, from sealed predictions."""

import re
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from jpqd import tasks
from jpqd.core.errors import UserError
from jpqd.core.manifest import Manifest, ModelFacts
from jpqd.core.names import PREDICTIONS
from jpqd.data import sources
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
    agreement_95: list[float] | None = None
    """The interval of a share of classes."""
    divergence: float | None = None
    """The divergence from the baseline's probabilities; more sensitive than accuracy."""

    figures: dict[str, float] = field(default_factory=dict)
    """The other figures, such as F1: the mean over runs."""
    differences: dict[str, tuple[float, float, float]] = field(default_factory=dict)
    """Their differences to the baseline with 95% intervals; none for the baseline itself."""
    classes: dict[str, Any] | None = None
    """`each`: n, precision, recall, F1 of each class; `confusion`: rows by [truth, answer]. Runs
    are counted together.
    """


@dataclass(frozen=True)
class Skipped:
    """A stage of a run that cannot be compared."""

    folder: str
    why: str
    expected: bool
    """True where nothing is wrong: the stage just has no predictions of these rows."""

    def __str__(self) -> str:
        return f"{self.folder}: {self.why}"


class _OtherRows(UserError):
    def __init__(self, skipped: Skipped) -> None:
        super().__init__(str(skipped))
        self.skipped = skipped


@dataclass(frozen=True)
class Comparison:
    runs: list[str]
    baseline: str
    split: str
    metric: str
    stages: list[Row]
    skipped: list[Skipped]
    unlike: list[str] = field(default_factory=list)
    """The runs that were made of another recipe than the first one, and where it differs."""

    def plain(self) -> dict[str, Any]:
        return {**asdict(self), "resamples": paired.RESAMPLES}

    def warnings(self) -> list[str]:
        lost = [f"left out: {entry}" for entry in self.skipped if not entry.expected]
        return lost + [f"runs of unlike recipes are taken together: {one}" for one in self.unlike]


@dataclass(frozen=True)
class _Stage:
    """The predictions of one stage in every run."""

    manifests: list[Manifest]
    predictions: list[Predictions]


def find(root: Path, names: list[str]) -> list[Run]:
    """Find runs by their names below `root`, or by their folders; the newest without names."""
    runs = [run for name in names for run in _named(root, name)] or [finder.find(root)]
    folders = [run.folder.resolve() for run in runs]
    if again := {str(folder) for folder in folders if folders.count(folder) > 1}:
        raise UserError(
            f"a run was given more than once: {', '.join(sorted(again))}. Name each run once."
        )
    return runs


def _named(root: Path, name: str) -> list[Run]:
    """Return the run of this name, or every run of a recipe with several seeds."""
    if not finder.is_run(Path(name)) and not finder.is_run(root / name):
        ours = re.compile(re.escape(name) + r"_seed(\d+)")
        seeds = {
            int(match[1]): run
            for run in finder.runs(root)
            if (match := ours.fullmatch(run.folder.name))
        }
        if seeds:
            return [seeds[seed] for seed in sorted(seeds)]
    return [finder.find(root, name)]


def compare(runs: list[Run], baseline: str | None, wanted: list[str] | None) -> Comparison:
    """Compare every stage measured on the baseline's rows, or only the `wanted` ones."""
    baseline = baseline or runs[0].baseline()
    _refuse([why for run in runs if (why := _unusable(run, baseline, None))])
    split = _split(runs[0].open(baseline).manifest)
    names, skipped = _choose(runs, baseline, split, wanted)
    truth, facts = predictions.load(runs[0].open(baseline).folder / PREDICTIONS)
    kind = tasks.of_facts(facts)
    own = kind.own(truth.labels)
    against = _read(runs, baseline, kind, own)
    rows = [_row(kind, baseline, against, None)]
    for name in names:
        try:
            rows.append(_row(kind, name, _read(runs, name, kind, own), against))
        except _OtherRows as error:
            if wanted or len(names) == 1:
                raise
            skipped.append(error.skipped)
    folders = [str(run.folder) for run in runs]
    unlike = _unlike(runs, [baseline, *names])
    return Comparison(folders, baseline, split, kind.main(truth), rows, skipped, unlike)


_SETTINGS = ("model", "task", "stage")
"""The inputs of a stage beside the seed, the stages before it and versions."""


def _unlike(runs: list[Run], names: list[str]) -> list[str]:
    """Name the runs whose stages have another model, data or settings than those of the first."""

    def settings(run: Run) -> dict[str, Any]:
        inputs = {name: run.open(name).manifest.inputs for name in names}
        return {name: [one.get(key) for key in _SETTINGS] for name, one in inputs.items()}

    first = settings(runs[0])
    differ = {
        str(run.folder): [key for key, value in settings(run).items() if value != first[key]]
        for run in runs
    }
    return [
        f"{folder} has another {', '.join(keys)} than {runs[0].folder}"
        for folder, keys in differ.items()
        if keys
    ]


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
    if split is not None and sources.canonical(split) != sources.canonical(measured):
        return Skipped(str(folder), f"measured on {measured}, not on {split}", True)
    if why := run.outdated().get(name):
        return Skipped(str(folder), f"{why}; run its recipe again", False)
    if sealed.broken(PREDICTIONS):
        return Skipped(str(folder), f"{PREDICTIONS} is damaged; run its recipe again", False)
    return None


def _refuse(reasons: list[Skipped]) -> None:
    if reasons:
        raise UserError("cannot compare\n" + "\n".join(map(str, reasons)))


def _read(runs: list[Run], name: str, kind: Kind, truth: np.ndarray) -> _Stage:
    """Read a stage's predictions; refuse labels that differ, which show that rows differ."""
    files = [predictions.load(run.open(name).folder / PREDICTIONS)[0] for run in runs]
    for run, file in zip(runs, files, strict=True):
        if not np.array_equal(kind.own(file.labels), truth, equal_nan=True):
            why = (
                f"its {len(file.labels)} labels differ from the {len(truth)} labels of the "
                f"baseline of {runs[0].folder}. Only stages that were measured on the same split "
                "of the same data can be compared; choose with --stages."
            )
            raise _OtherRows(Skipped(str(run.folder / name), why, False))
    return _Stage([run.open(name).manifest for run in runs], files)


def _row(kind: Kind, name: str, stage: _Stage, against: _Stage | None) -> Row:
    each = [kind.value(answers) for answers in stage.predictions]
    compared = kind.compare(stage.predictions, against.predictions) if against else {}
    model = _model([manifest.model for manifest in stage.manifests])
    others = [kind.figures(answers) for answers in stage.predictions]
    figures = {name: float(np.mean([one[name] for one in others])) for name in others[0]}
    n, value = kind.n(stage.predictions[0]), float(np.mean(each))
    classes = kind.classes(stage.predictions)
    return Row(name, n, value, each, model, figures=figures, classes=classes, **compared)


def _model(facts: list[ModelFacts | None]) -> dict[str, Any]:
    """Summarize the models of all runs: the mean of a number, each precision once."""
    means: dict[str, Any] = {}
    for key in ("encoder_share", "nonzero_share", "parameters"):
        values = [value for one in facts if one and (value := getattr(one, key)) is not None]
        means[key] = float(np.mean(values)) if values and len(values) == len(facts) else None
    precisions = sorted({one.precision for one in facts if one})
    return {**means, "precision": ", ".join(precisions) or None}
