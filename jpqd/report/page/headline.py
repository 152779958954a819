"""The main result in a sentence, and the notes that a reader must know."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from jpqd.core.manifest import Manifest
from jpqd.report import bench_tables, words
from jpqd.report.page import tables
from jpqd.report.page.gather import Page


def main(page: Page) -> str:
    return _sentence(page, page.main)


def others(page: Page) -> list[str]:
    """Return a sentence for each of the other smaller stages."""
    small = [stage for stage in page.trained if tables.share(stage) < 1]
    return [_sentence(page, stage) for stage in small if stage is not page.main]


def _sentence(page: Page, stage: Manifest) -> str:
    share = stage.model.encoder_share if stage.model else None
    kept = f"{words.share(share)} of the encoder's weights" if share is not None else ""
    precision = stage.model.precision if stage.model else ""
    parts = [kept, precision, _quality(page, stage), _speed(page, stage)]
    return f"{stage.stage}: " + ", ".join(part for part in parts if part)


def _quality(page: Page, stage: Manifest) -> str:
    row = page.difference(stage.stage)
    if row and page.comparison:
        difference = words.difference(page.metric, row.difference)
        unit = " points" if words.is_percent(page.metric) else f" of {page.metric}"
        middle, interval = difference.split(" ", 1)
        return f"{middle}{unit} {interval} against {page.comparison.baseline} (n {row.n})"
    for split, figures in stage.splits.items():
        if page.metric in figures:
            bounds = figures.get(f"{page.metric}_95")
            score = words.sentence(page.metric, figures[page.metric], bounds)
            return f"{score} on {split} (n {figures['n']})"
    return ""


def _speed(page: Page, stage: Manifest) -> str:
    arm = page.deployed(stage)
    if page.bench is None or page.latency is None or arm is None:
        return ""
    speedup = page.latency.arms[arm.name].speedup
    if speedup is None or speedup.value is None:
        return ""
    base = page.bench.arm(page.bench.baseline)
    ratio = f"{words.ratio(speedup)} as fast as {words.arm(base)}"
    return f"{ratio} ({arm.name}, {page.latency.workload})"


def notes(page: Page) -> Iterator[str]:
    """Yield the notes on top of the page that qualify its figures."""
    yield from _different_irs(page)
    if page.run.unsealed:
        yield f"Not sealed, so not in this report: {', '.join(page.run.unsealed)}."
    if page.no_comparison:
        yield f"No differences to a baseline: {page.no_comparison}"
    for entry in page.comparison.skipped if page.comparison else []:
        name = Path(entry.folder).name
        if not entry.expected and name not in page.run.unsealed:
            yield f"No difference of {name}: {entry.why}."
    if page.bench is None:
        yield f"Speed and memory have not been measured. {missing_bench(page)}"
    else:
        speed = [note for note in bench_tables.notes(page.bench) if not note.startswith("energy")]
        yield from (f"Benchmark: {note}." for note in speed)


def _different_irs(page: Page) -> Iterator[str]:
    """Yield notes on IRs whose figures differ from their models': the IR is what runs."""
    for stage in page.stages:
        for split, figures in stage.splits.items():
            model = figures.get("pytorch", {}).get(page.metric)
            if stage.kind == "ir" and model not in (None, figures.get(page.metric)):
                mine = words.sentence(page.metric, figures[page.metric])
                its = words.sentence(page.metric, model)
                yield f"{stage.stage}: {mine} on {split}, its model {its} (n {figures['n']})."


def missing_bench(page: Page) -> str:
    return f"Run jpqd bench {page.name}, then jpqd report {page.name} again."
