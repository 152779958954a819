"""The files of `jpqd report`, each written whole or not at all."""

from __future__ import annotations

from pathlib import Path

from jpqd.core import artifact
from jpqd.core.errors import UserError
from jpqd.report.page import html, markdown
from jpqd.report.page.gather import gather
from jpqd.run.finder import Run

PAGE, MARKDOWN = "report.html", "report.md"


def write(run: Run, out: Path | None) -> list[Path]:
    """Write the report into the run's folder, or into `out`."""
    page = gather(run)
    folder = out or run.folder
    if artifact.read(folder) is not None:
        raise UserError(
            f"{folder} is sealed, and an extra file would break it. Give another folder: --out."
        )
    texts = {PAGE: html.render(page), MARKDOWN: markdown.render(page)}
    try:
        with artifact.disk_full_is_clear(_there(folder), "The run is as it was."):
            return [_replace(folder / name, text) for name, text in texts.items()]
    except OSError as error:
        raise UserError(
            f"{folder} cannot be written: {error.strerror}. Give another folder: --out."
        ) from error


def _there(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _replace(path: Path, text: str) -> Path:
    """Write a file beside its place and rename it, so that nobody reads half a page."""
    partial = path.with_name(path.name + artifact.PARTIAL)
    partial.write_text(text, encoding="utf-8")
    artifact.sync(partial)
    return partial.replace(path)
