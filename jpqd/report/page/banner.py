"""Warnings on top of the page: figures that are not to be trusted, and those that are missing."""

from __future__ import annotations

from collections.abc import Iterator

from jpqd.report import bench_tables
from jpqd.report.page.gather import Page

_NAMED = 4


def warnings(page: Page) -> Iterator[str]:
    if page.damage:
        yield _damaged(page)
    if page.run.unsealed:
        yield (
            f"Missing, because not sealed: {', '.join(page.run.unsealed)}. Their figures are not "
            "in this report; run the recipe again to make them."
        )
    if page.bench:
        yield from (f"Speed: {note}." for note in bench_tables.doubts(page.bench))


def _damaged(page: Page) -> str:
    more = f"; and {len(page.damage) - _NAMED} more" if len(page.damage) > _NAMED else ""
    stages = _doubtful(page)
    whose = f" Do not trust the figures of {', '.join(stages)}." if stages else ""
    return (
        f"This run is damaged: {'; '.join(page.damage[:_NAMED])}{more}.{whose} "
        f"jpqd verify {page.name} names every file; run the recipe again to make them."
    )


def _doubtful(page: Page) -> list[str]:
    """Name the damaged stages, and those that were made of them or measured them."""
    doubtful = {line.partition(":")[0].partition("/")[0] for line in page.damage}
    stages = [stage for stage in page.run.stages if stage.inputs]
    for _ in stages:  # once for each step of the longest chain
        doubtful |= {stage.stage for stage in stages if doubtful & {*stage.made_of}}
    return [stage.stage for stage in page.run.stages if stage.stage in doubtful]
