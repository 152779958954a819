"""Tables for the terminal: the stages of a run, and the steps of a plan."""

from typing import Any

from rich.table import Table

from jpqd.core import terminal
from jpqd.core.manifest import Manifest
from jpqd.recipe.task import kinds
from jpqd.run.plan import Step


def stage_table(title: str, stages: list[Manifest], unsealed: tuple[str, ...] = ()) -> Table:
    """Make a table with one row for each split of a stage, and one for each unsealed stage."""
    table = terminal.new_table(title)
    for column in ("stage", "use", "split", "n", "metrics", "size", "took"):
        table.add_column(column, justify="right" if column in ("n", "size", "took") else "left")
    for manifest in stages:
        for split, figures in manifest.splits.items():
            table.add_row(
                manifest.stage,
                manifest.use,
                split,
                str(figures["n"]),
                _figures(figures),
                _megabytes(manifest.bytes),
                f"{manifest.seconds:.0f} s",
            )
    for stage in unsealed:
        table.add_row(stage, "", "", "", "not sealed", "", "")
    return table


def _figures(figures: dict[str, Any]) -> str:
    parts = []
    names = dict.fromkeys(name for kind in kinds() for name in kind.metrics)
    for name in (name for name in names if name in figures):
        low, high = figures.get(f"{name}_95") or (None, None)
        interval = "" if low is None else f" [{low:.3f}, {high:.3f}]"
        parts.append(f"{name} {figures[name]:.4f}{interval}")
    return ", ".join(parts)


def _megabytes(size: float) -> str:
    return f"{size / 1e6:.1f} MB"


def plan_table(title: str, steps: list[Step]) -> Table:
    """Make a table of steps: their state and its reason, their inputs and the disk space."""
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
