"""The export of a folder: by what its model is for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from export import ir
from export.decoder import ir as decoder_ir
from export.options import Options
from export.origin import Origin
from jpqd import tasks
from jpqd.core.errors import UserError
from jpqd.core.progress import Progress
from jpqd.tasks.causal_lm import CausalLm


def write(
    spec: Options, origin: Origin, out: Path, progress: Progress, beside: Path | None = None
) -> dict[str, Any]:
    """Write an export to `out` and return its metrics, those of a decoder beside another IR's."""
    origin.refuse_unusable()
    writes = tasks.of_folder(origin.folder).rows_are_text
    _refuse_other_task(origin, writes)
    if writes:
        return decoder_ir.write(spec, origin, out, progress, beside)
    if beside:
        raise UserError("ov_ir: beside is for language models. Leave it out: jpqd compare.")
    return ir.write(spec, origin, out, progress)


def _refuse_other_task(origin: Origin, writes: bool) -> None:
    """Refuse a language model for another task, and a head that nobody trained for this one."""
    if origin.task is None:
        return
    if writes != (origin.task.use == CausalLm.use):
        what = "is a language model" if writes else "is no language model"
        raise UserError(f"{origin.folder}: this {what}, and the task is another. Set task.use.")
    if origin.from_recipe and not writes:
        raise UserError(
            "ov_ir: a stage without `needs` exports a language model as it is. Train this model "
            "for the task first, and name the stage in `needs`."
        )
