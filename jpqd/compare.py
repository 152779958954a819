"""Stages set against a baseline on the same rows: sealed predictions turned into one table."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table
from safetensors.numpy import load_file

from jpqd import artifact, paired, report
from jpqd.artifact import Manifest
from jpqd.errors import UserError
from jpqd.report import Run

PREDICTIONS = "predictions.safetensors"
_MODEL = ("encoder_share", "nonzero_share", "parameters")


@dataclass(frozen=True)
class Row:
    """A stage over all runs. Shares are fractions, as in manifests."""

    stage: str
    n: int
    value: float
    each: dict[str, float]
    difference: tuple[float, float, float] | None
    """To the baseline, with its 95% interval; None for the baseline itself."""
    mcnemar_p: float | None
    agreement: float | None
    model: dict[str, Any]


@dataclass(frozen=True)
class Skipped:
    run: str
    stage: str
    why: str
    expected: bool
    """Nothing is wrong with the stage; it only has no figures on these rows."""


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


@dataclass(frozen=True)
class _Rows:
    """What a stage predicted in every run: logits [runs, rows, classes], labels [runs, rows]."""

    manifests: list[Manifest]
    logits: np.ndarray
    labels: np.ndarray


def find(root: Path, names: list[str]) -> list[Run]:
    """Runs by their names below `root`, or by their folders anywhere."""
    paths = [Path(name).resolve() for name in names]
    found = [
        report.choose(path.parent, path.name)
        if (path / "recipe.json").is_file()
        else report.choose(root, name)
        for path, name in zip(paths, names, strict=True)
    ]
    folders = [run.folder.resolve() for run in found]
    if again := sorted({str(folder) for folder in folders if folders.count(folder) > 1}):
        raise UserError(f"a run counts once, but this one was given twice: {', '.join(again)}")
    return found


def compare(runs: list[Run], baseline: str | None, wanted: list[str] | None) -> Comparison:
    """Every stage that was measured on the baseline's rows; only those `wanted`, if given."""
    baseline = baseline or _first_trained(runs[0])
    _refuse([why for run in runs if (why := _unusable(run, baseline, None))])
    split = _split(_stage(runs[0], baseline)) or ""
    skipped = []
    chosen = []
    for name in wanted or _names(runs):
        reasons = [why for run in runs if (why := _unusable(run, name, split))]
        if wanted:
            _refuse(reasons)
        skipped += reasons
        if not reasons and name != baseline:
            chosen.append(name)
    if not chosen:
        raise UserError(
            f"nothing to compare with {baseline} on {split}: "
            + ("; ".join(_sentence(s) for s in skipped) or "there is no other stage")
        )
    against = _read(runs, baseline)
    others = {name: _read(runs, name) for name in chosen}
    _check_labels(runs, against, {baseline: against, **others})
    metric = "accuracy" if "accuracy" in against.manifests[0].metrics[split] else "pearson"
    measure = _classes if metric == "accuracy" else _numbers
    rows = [measure(runs, baseline, against, None)]
    rows += [measure(runs, name, arm, against) for name, arm in others.items()]
    return Comparison([str(run.folder) for run in runs], baseline, split, metric, rows, skipped)


def _first_trained(run: Run) -> str:
    if "teacher" in _names([run]):
        return "teacher"
    for manifest in run.stages:
        if manifest.use == "train":
            return manifest.stage
    raise UserError(f"{run.folder}: no trained stage to compare with. Name one: --baseline STAGE.")


def _names(runs: list[Run]) -> list[str]:
    """Every stage of any run, in the order in which they were made."""
    sealed = [manifest.stage for run in runs for manifest in run.stages]
    return list(dict.fromkeys([*sealed, *(name for run in runs for name in run.unsealed)]))


def _stage(run: Run, name: str) -> Manifest:
    return next(manifest for manifest in run.stages if manifest.stage == name)


def _split(manifest: Manifest) -> str | None:
    """The split whose predictions lie in the stage."""
    return next((split for split, _ in report.measured(manifest)), None)


def _unusable(run: Run, name: str, split: str | None) -> Skipped | None:
    """Why a stage cannot be compared on a split, or at all when no split is given."""
    if name not in _names([run]):
        known = ", ".join(_names([run]))
        return Skipped(str(run.folder), name, f"there is no such stage (there are: {known})", False)
    if name in run.unsealed:
        why = "not sealed: run the recipe to its end"
        return Skipped(str(run.folder), name, why, False)
    manifest = _stage(run, name)
    entry, measured = manifest.files.get(PREDICTIONS), _split(manifest)
    if entry is None or measured is None:
        return Skipped(str(run.folder), name, "no predictions", True)
    if split not in (measured, None):
        return Skipped(str(run.folder), name, f"measured on {measured}, not on {split}", True)
    path = run.folder / name / PREDICTIONS
    if not path.is_file() or artifact.hash_file(path) != entry.sha256:
        why = f"{PREDICTIONS} is not as sealed: run the recipe again"
        return Skipped(str(run.folder), name, why, False)
    return None


def _refuse(reasons: list[Skipped]) -> None:
    if reasons:
        raise UserError("cannot be compared: " + "\n".join(_sentence(s) for s in reasons))


def _sentence(skipped: Skipped) -> str:
    return f"{skipped.run}/{skipped.stage}: {skipped.why}"


def warnings(comparison: Comparison) -> Iterator[str]:
    """Stages that one would expect in the table."""
    return (f"left out: {_sentence(s)}" for s in comparison.skipped if not s.expected)


def _read(runs: list[Run], name: str) -> _Rows:
    files = [load_file(run.folder / name / PREDICTIONS) for run in runs]
    labels = [file["labels"] for file in files]
    if any(len(truth) != len(labels[0]) for truth in labels):
        counts = ", ".join(
            f"{run.folder}: {len(truth)}" for run, truth in zip(runs, labels, strict=True)
        )
        raise UserError(f"{name}: not the same rows in every run ({counts} rows)")
    return _Rows(
        [_stage(run, name) for run in runs],
        np.stack([file["logits"] for file in files]),
        np.stack(labels),
    )


def _check_labels(runs: list[Run], against: _Rows, stages: dict[str, _Rows]) -> None:
    """Rows carry no names; their labels in the split's order stand for them."""
    truth = against.labels[0]
    for name, rows in stages.items():
        for run, labels in zip(runs, rows.labels, strict=True):
            if not np.array_equal(labels, truth):
                raise UserError(
                    f"{run.folder}/{name} and {runs[0].folder}/{against.manifests[0].stage} were "
                    f"not measured on the same rows: their labels differ ({len(labels)} and "
                    f"{len(truth)} rows). Compare stages of the same data and split, or choose "
                    "with --stages."
                )
