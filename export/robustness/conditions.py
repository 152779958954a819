"""The conditions under which models answer: the reported rows as they are, with slips, others."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

from datasets import Dataset
from transformers import AutoTokenizer

from export import answering, rows
from export.robustness.options import Options
from jpqd.analysis import noise
from jpqd.core.errors import DataError, UserError
from jpqd.data import sources, splits, tables
from jpqd.recipe.contracts import Context
from jpqd.tasks import Kind

CLEAN, CHOOSING = "clean", "choosing"
_SELECT = "select"


@dataclass(frozen=True)
class Condition:
    name: str
    table: Dataset
    kind: Kind
    place: str
    """The file or split that the rows are of, for messages."""
    noise: float | None = None


def of_stage(stage: Options, ctx: Context) -> list[Condition]:
    """Return the rows as they are, those that choose a temperature, then all others."""
    first = ctx.inputs[stage.needs[0]]
    tokenizer = AutoTokenizer.from_pretrained(first, trust_remote_code=False)
    data = splits.prepare(ctx.task, tokenizer, ctx.cache, ctx.progress)
    if data.kind.rows_are_text:
        raise UserError(f"{ctx.stage}: a language model has no answers to rows. Use questions.")
    report, select = ctx.task.report_on, ctx.task.select_on
    clean = _rows(ctx, data, report, report)
    choosing = _rows(ctx, data, _SELECT, select if isinstance(select, str) else _SELECT)
    found = [
        Condition(CLEAN, clean, data.kind, report),
        Condition(CHOOSING, choosing, data.kind, _SELECT),
    ]
    for share in stage.noise:
        slip = partial(_with_slips, ctx.task.text, share, ctx.seed)
        # The library's cache does not see that slips were changed.
        table = clean.map(slip, load_from_cache_file=False, keep_in_memory=True)
        found.append(Condition(f"noise {100 * share:g}%", table, data.kind, report, share))
    return found + [_shifted(name, file, ctx, data.kind) for name, file in stage.shift.items()]


def _rows(ctx: Context, data: splits.Data, split: str, given: str) -> Dataset:
    """Return the usable rows of a split as they stand in the table of its name in the data."""
    numbers = splits.column(data.split(split), "row").tolist()
    return rows.raw(ctx.task, ctx.cache, given, numbers)


def _with_slips(
    columns: tuple[str, ...], share: float, seed: int, row: dict[str, Any]
) -> dict[str, Any]:
    def slipped(cell: Any) -> Any:
        if isinstance(cell, list):
            return noise.noisy_words(cell, share, seed)
        return noise.noisy(str(cell), share, seed)

    return {column: slipped(row[column]) for column in columns}


def _shifted(name: str, file: str, ctx: Context, kind: Kind) -> Condition:
    place = sources.local_file(file)
    table = tables.read(place, ctx.cache / "tables", ctx.progress)
    task = ctx.task.model_copy(update={"labels": kind.names})
    try:
        found = answering.kind_of(task, table, kind, place)
    except DataError as error:
        raise DataError(f"shift.{name} ({place}): {error}") from error
    lost = sum(found.label(task, row) is None for row in table)
    if lost:
        ctx.progress.warn(f"{place}: {lost} of {len(table)} rows have no text or no label")
    return Condition(name, table, found, str(place))
