"""The files of `jpqd report`, each written whole or not at all."""

from __future__ import annotations

from pathlib import Path

from jpqd.core import artifact, files, seals
from jpqd.core.errors import RunError, UserError
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
            return [
                files.write_text(folder / name, seals.sealed_page(text))
                for name, text in texts.items()
            ]
    except OSError as error:
        raise RunError(
            f"{folder} cannot be written: {error.strerror}. Give another folder: --out."
        ) from error


def damage(run: Run) -> list[str]:
    """Name the written reports of a run that were changed since."""
    pages = [run.folder / PAGE, run.folder / MARKDOWN]
    return [
        f"{page.name}: changed after it was written; jpqd report writes it again"
        for page in pages
        if page.is_file() and not seals.is_page_sealed(page)
    ]


def _there(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder
