"""Manifests turned into tables. Nothing is computed again."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.table import Table

from jpqd import artifact, terminal
from jpqd.artifact import Manifest
from jpqd.errors import UserError
from jpqd.plan import Step

RECIPE = "recipe.json"
_SHOWN = ("accuracy", "f1", "matthews", "pearson", "spearman")


@dataclass(frozen=True)
class Run:
    """A run folder and what is sealed in it, in the order in which it was made."""

    folder: Path
    stages: tuple[Manifest, ...]
    unsealed: tuple[str, ...] = ()
    """Stages of its recipe without a manifest that can be read."""

    @property
    def newest(self) -> float:
        return max((_manifest_time(self.folder / stage.stage) for stage in self.stages), default=0)


def runs(root: Path) -> list[Run]:
    """Every run below a folder, the newest first."""
    folders = [path.parent for path in root.glob(f"*/{RECIPE}")] if root.is_dir() else []
    found = [_run(folder) for folder in folders]
    return sorted(found, key=lambda run: run.newest, reverse=True)


def choose(root: Path, name: str | None) -> Run:
    """The run that was named, or the newest one."""
    found = runs(root)
    if not found:
        raise UserError(f"there are no runs in {root}. Run a recipe, or name the folder: --runs.")
    if name is None:
        return found[0]
    for run in found:
        if name in (run.folder.name, str(run.folder)):
            return run
    raise UserError(
        f"there is no run {name!r} in {root}: {', '.join(r.folder.name for r in found)}"
    )


def damage(run: Run) -> list[str]:
    """Every file of a run that differs from its manifest, and folders whose manifest is gone."""
    lost = [f"{stage}/{artifact.MANIFEST}: missing or torn" for stage in run.unsealed
            if (run.folder / stage).exists()]  # fmt: skip
    for stage in run.stages:
        found = artifact.damage(run.folder / stage.stage, stage.files, thorough=True)
        lost += [f"{stage.stage}/{what}" for what in found]
    return lost


def _run(folder: Path) -> Run:
    stages = tuple(_sealed(folder))
    wanted = (read_recipe(folder) or {}).get("stages", ())
    return Run(folder, stages, tuple(s for s in wanted if s not in {m.stage for m in stages}))


def read_recipe(folder: Path) -> dict[str, Any] | None:
    """What a run was asked for; None beside a folder that no run made."""
    try:
        found = json.loads((folder / RECIPE).read_text())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _sealed(folder: Path) -> Iterator[Manifest]:
    found = [path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")]
    found = [
        path for path in found if not path.name.endswith((artifact.PARTIAL, artifact.REPLACED))
    ]
    for path in sorted(found, key=_manifest_time):
        if manifest := artifact.read(path):
            yield manifest


def _manifest_time(folder: Path) -> float:
    try:
        return (folder / artifact.MANIFEST).stat().st_mtime
    except OSError:
        return 0.0


def stage_table(title: str, stages: list[Manifest], unsealed: tuple[str, ...] = ()) -> Table:
    """One row for each split that a stage measured, and one for what is not sealed yet."""
    table = terminal.new_table(title)
    for column in ("stage", "use", "split", "n", "metrics", "size", "took"):
        table.add_column(column, justify="right" if column in ("n", "size", "took") else "left")
    for manifest in stages:
        for split, figures in measured(manifest):
            table.add_row(
                manifest.stage,
                manifest.use,
                split,
                str(figures["n"]),
                _figures(figures),
                _megabytes(sum(entry.bytes for entry in manifest.files.values())),
                f"{manifest.seconds:.0f} s",
            )
    for stage in unsealed:
        table.add_row(stage, "", "", "", "not sealed", "", "")
    return table


def measured(manifest: Manifest) -> list[tuple[str, dict[str, Any]]]:
    """The splits with figures, without what was measured of the training itself."""
    return [(k, v) for k, v in manifest.metrics.items() if isinstance(v, dict) and "n" in v]


def _figures(figures: dict[str, Any]) -> str:
    shown = [f"{name} {figures[name]:.4f}" for name in _SHOWN if name in figures]
    if "accuracy_95" in figures:
        low, high = figures["accuracy_95"]
        shown[0] += f" [{low:.3f}, {high:.3f}]"
    return ", ".join(shown)


def _megabytes(size: float) -> str:
    return f"{size / 1e6:.1f} MB"


def plan_table(title: str, steps: list[Step]) -> Table:
    """What would run, why, what it reads and the room that it takes."""
    table = terminal.new_table(title)
    for column in ("stage", "use", "state", "why", "reads", "disk"):
        table.add_column(column, overflow="fold")
    for step in steps:
        reads = ", ".join(step.stage.inputs()) or "model, data"
        disk = "?" if step.disk_bytes is None else _megabytes(step.disk_bytes)
        sealed = step.status == "sealed"
        table.add_row(
            step.id, step.stage.use, step.status, "\n".join(step.why), reads, "" if sealed else disk
        )
    return table
