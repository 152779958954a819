"""The export of a folder: by what its model is for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from export import ir
from export.decoder import ir as decoder_ir
from export.options import Options
from export.origin import Origin
from jpqd import tasks
from jpqd.core.progress import Progress


def write(spec: Options, origin: Origin, out: Path, progress: Progress) -> dict[str, Any]:
    """Write an export to `out` and return its metrics."""
    if tasks.of_folder(origin.folder).rows_are_text:
        return decoder_ir.write(spec, origin, out, progress)
    return ir.write(spec, origin, out, progress)
