"""Tables for the terminal: the stages of a run, and the steps of a plan."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal

from rich.table import Table
from rich.text import Text

from jpqd.core import terminal
from jpqd.core.manifest import Manifest
from jpqd.recipe.task import kinds
from jpqd.run.estimate import Estimate
from jpqd.run.plan import Step

if TYPE_CHECKING:
    from jpqd.report.page.tables import Table as PageTable


def stage_table(title: str, stages: list[Manifest], unsealed: tuple[str, ...] = ()) -> Table:
    """Make a table with one row for each split of a stage, and one for each unsealed stage."""
    table = terminal.new_table(title)
    for column in ("stage", "use", "split", "n", "metrics", "size", "took"):
        table.add_column(column, justify="right" if column in ("n", "size", "took") else "left")
    for manifest in stages:
        for split, figures in manifest.splits.items() or [("", {})]:
            table.add_row(
                manifest.stage,
                manifest.use,
                split,
                str(figures.get("n", "")),
                _figures(figures),
                _megabytes(manifest.deployed_bytes),
                f"{manifest.seconds:.0f} s",
            )
    for stage in unsealed:
        table.add_row(stage, "", "", "", "not sealed", "", "")
    table.caption, table.caption_justify = _note(stages), "left"
    return table


def of_page(page: "PageTable") -> Table:
    """Make the terminal's form of a table of the report."""
    table = terminal.new_table(page.title)
    for column, name in enumerate(page.head):
        justify: Literal["left", "right"] = "right" if page.is_number(column) else "left"
        table.add_column(terminal.plain(name), justify=justify, overflow="fold")
    for row in page.rows:
        table.add_row(*(Text(terminal.plain(cell)) for cell in row))
    table.caption, table.caption_justify = Text(terminal.plain(page.note)), "left"
    return table


def _note(stages: list[Manifest]) -> str | None:
    """Return a note where a model is called INT8 and is no smaller than before."""
    whole = [one for one in stages if one.model and one.model.precision == "FP32"]
    larger = [one.stage for one in stages if any(_is_larger(one, other) for other in whole)]
    if not larger:
        return None
    return (
        f"{', '.join(larger)}: INT8 weights are stored in f32 with their scales until they are "
        "exported; an IR (use: ov_ir, or jpqd export) holds them in 8 bits."
    )


def _is_larger(stage: Manifest, other: Manifest) -> bool:
    """Return whether a quantized model takes more room than the same weights in FP32."""
    if stage.kind != "model" or other.kind != "model" or not stage.model or not other.model:
        return False
    same = stage.model.precision == "INT8" and stage.model.parameters == other.model.parameters
    return same and (stage.deployed_bytes or 0) >= (other.deployed_bytes or 0)


def _figures(figures: dict[str, Any]) -> str:
    parts = []
    names = dict.fromkeys(name for kind in kinds() for name in (*kind.shown, *kind.metrics))
    for name in (name for name in names if name in figures):
        low, high = figures.get(f"{name}_95") or (None, None)
        interval = "" if low is None else f" [{low:.3f}, {high:.3f}]"
        parts.append(f"{name} {figures[name]:.4f}{interval}")
    return ", ".join(parts)


def _megabytes(size: float | None) -> str:
    return "" if size is None else f"{size / 1e6:.1f} MB"


def plan_table(title: str, steps: list[Step], times: dict[str, Estimate]) -> Table:
    """Make a table of steps: state and reason, inputs, disk space, and time where it is known."""
    table = terminal.new_table(title)
    for column in ("stage", "use", "state", "why", "reads", "disk", "time"):
        table.add_column(column, overflow="fold")
    for step in steps:
        reads = ", ".join(step.stage.inputs()) or "model, data"
        disk = _megabytes(step.disk_bytes) or "?"
        sealed = step.status == "sealed"
        why = "\n".join([*step.why, *_truncated(step)])
        place, time = ("", "") if sealed else (disk, _took(times.get(step.id)))
        table.add_row(step.id, step.stage.use, step.status, why, reads, place, time)
    waiting = [step.id for step in steps if step.status != "sealed"]
    if waiting and times.keys() >= {*waiting}:
        table.caption = f"about {sum(seconds for seconds, _ in times.values()) / 60:.1f} minutes"
        table.caption_justify = "left"
    return table


def _took(estimate: Estimate | None) -> str:
    return "?" if estimate is None else f"{estimate[0]:.0f} s, as in {estimate[1]}"


def _truncated(step: Step) -> Iterator[str]:
    """Say how much of its texts a sealed stage did not read."""
    shares = (step.manifest.metrics.get("data") or {}).get("truncated") if step.manifest else None
    for split, share in (shares or {}).items():
        if share:
            yield f"{split}: {share:.1%} cut at max_length"
