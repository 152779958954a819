"""The models in the form that would run: accuracy, precision, speed and size of the same thing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from jpqd.core.bench_result import Accuracy, Arm, Estimate
from jpqd.core.manifest import Manifest, interval
from jpqd.report import words
from jpqd.report.page import tables
from jpqd.report.page.gather import Page
from jpqd.report.page.tables import Table
from jpqd.report.words import INTERVAL, NONE


@dataclass(frozen=True)
class Deployed:
    """A model and the way it runs; without a benchmark no way is known."""

    stage: Manifest
    arm: Arm | None
    accuracy: Accuracy | None

    @property
    def name(self) -> str:
        return self.arm.name if self.arm else self.stage.stage

    @property
    def precision(self) -> str:
        if self.arm:
            return self.arm.precision
        return self.stage.model.precision if self.stage.model else NONE

    @property
    def bytes(self) -> int | None:
        return self.arm.bytes if self.arm else self.stage.deployed_bytes

    @property
    def is_as_checked(self) -> bool:
        """Return whether it runs in the precision that its stage's figures are of."""
        return self.arm is None or _holds(self.stage, self.arm)


def _holds(stage: Manifest, arm: Arm) -> bool:
    checked = [set(facts["matmuls"]) for facts in stage.checks.values() if "matmuls" in facts]
    return not checked or set(arm.matmuls) in checked


def every(page: Page) -> list[Deployed]:
    """Return the baseline as it is, and the other models as IRs where they were exported."""
    exported = {name for stage in page.stages if stage.kind == "ir" for name in stage.made_of}
    chosen = [
        stage
        for stage in page.stages
        if stage is page.baseline
        or stage.kind == "ir"
        or (stage.kind == "model" and stage.stage not in exported)
    ]
    return [_deployed(page, stage) for stage in chosen]


def _deployed(page: Page, stage: Manifest) -> Deployed:
    arm = page.arm(stage.stage)
    measured = arm.accuracy if arm else None
    if arm and measured and (measured.source == "measured" or _holds(stage, arm)):
        return Deployed(stage, arm, measured)
    return Deployed(stage, arm, _sealed(page, stage))


def _sealed(page: Page, stage: Manifest) -> Accuracy | None:
    """Return the figure of the stage itself."""
    for split, figures in stage.splits.items():
        if page.metric in figures:
            return Accuracy(
                metric=page.metric,
                value=figures[page.metric],
                n=figures["n"],
                interval=interval(figures, page.metric),
                split=split,
                source="manifest",
            )
    return None


def baseline(page: Page) -> Deployed:
    return _deployed(page, page.baseline)


def main(page: Page) -> Deployed:
    """Return the model that the run was for, as an IR where there is one.

    Of a language model whose weights were put into fewer bits, that is the recipe's last IR.
    """
    irs = [one for one in every(page) if one.stage.kind == "ir"]
    fewer = [stage.stage for stage in page.run.in_order() if stage.metrics.get("weights")]
    if fewer:
        return next(one for one in irs if one.stage.stage == fewer[-1])
    found = [one for one in irs if page.main.stage in one.stage.made_of]
    measured = [one for one in found if one.arm]
    return next(iter([*measured, *found]), _deployed(page, page.main))


def whole(page: Page, precision: str) -> Deployed | None:
    """Return the IR of a model with all of its heads and neurons, in FP32 or INT8."""
    for one in every(page):
        facts = one.stage.model
        is_whole = one.stage.kind == "ir" and tables.share(one.stage) == 1
        if is_whole and one.arm and facts and facts.precision == precision:
            return one
    return None


def speed(page: Page, one: Deployed, over: Deployed) -> Estimate | None:
    """Return how many times as fast one is as the other; None where that was not measured."""
    if page.latency is None or one.arm is None or over.arm is None:
        return None
    figures = page.latency.arms[one.arm.name]
    if page.bench and over.arm.name == page.bench.baseline:
        return figures.speedup
    return figures.speedup_over.get(over.arm.name)


def points(page: Page, one: Deployed) -> str:
    """Write the difference to the baseline: paired, or plain where answers were not kept."""
    base = baseline(page)
    if one.stage is page.baseline:
        return "baseline"
    if row := page.difference(one.stage.stage):
        return words.difference(page.metric, row.difference)
    mine, others = one.accuracy, base.accuracy
    if mine is None or others is None or (mine.n, mine.split) != (others.n, others.split):
        return NONE
    scale, places = words.scale_of(page.metric)
    return f"{(mine.value - others.value) * scale:+.{places}f}"


def table(page: Page) -> Table:
    """Make the first table: at most eight columns, a row for each thing that can be deployed."""
    rows, reference = every(page), whole(page, "INT8")
    head = ["runs as", f"{words.titled(page.metric)} {INTERVAL}, n",
            f"{words.points(page.metric)} {INTERVAL}", "precision", "size, MB"]  # fmt: skip
    cells = [
        [
            one.name,
            words.accuracy(one.accuracy),
            points(page, one),
            one.precision,
            words.megabytes(one.bytes),
        ]
        for one in rows
    ]
    if page.latency:
        head += [f"p50, ms {INTERVAL}", f"speed ratio {INTERVAL}"]
        cells = [[*line, *_times(page, one)] for line, one in zip(cells, rows, strict=True)]
    if reference and page.latency:
        head += [f"ratio to {reference.name} {INTERVAL}"]
        cells = [[*line, _over(page, one, reference)]
                 for line, one in zip(cells, rows, strict=True)]  # fmt: skip
    hints = _hints(page, head, reference)
    title = f"{page.metric.capitalize()}, speed and size of the same thing"
    return Table(title, head, cells, _note(page, rows), _TEXTS, hints)


_TEXTS = {"precision", "runs as"}


def _times(page: Page, one: Deployed) -> list[str]:
    if page.latency is None or one.arm is None:
        return [NONE, NONE]
    figures = page.latency.arms[one.arm.name]
    latency = figures.latency_ms
    ratio = words.ratio(figures.speedup) if figures.speedup else "baseline"
    return [words.measured(latency.p50) if latency else NONE, ratio]


def _over(page: Page, one: Deployed, reference: Deployed) -> str:
    return "reference" if one.name == reference.name else words.ratio(speed(page, one, reference))


def _hints(page: Page, head: Sequence[str], reference: Deployed | None) -> dict[str, str]:
    """Explain the heads of the table in place."""
    base = page.bench.baseline if page.bench else ""
    said = [
        "a stage, as OpenVINO runs it by default",
        "of this very thing, on n rows",
        f"to {page.baseline.stage}, on the same rows",
        "in which matrix products are computed" if page.bench else "of the weights",
        "graph and weights",
        "half of all requests are faster",
        f"as fast as {base}; above 1 is faster",
        f"to the whole model in INT8 ({reference.name})" if reference else "",
    ]
    return dict(zip(head, said, strict=False))


def _note(page: Page, rows: Sequence[Deployed]) -> str:
    parts = ["Brackets hold 95% intervals: other rows or requests of the same kind would give "
             "a figure in them 19 times of 20."]  # fmt: skip
    if page.latency:
        parts += [f"Speed: {page.latency.mode}, {page.latency.workload}."]
    unlike = [one for one in rows if not one.is_as_checked]
    if f32 := [one.name for one in unlike if one.accuracy and one.accuracy.source == "manifest"]:
        parts += [f"Accuracy of {', '.join(f32)}: of its check in f32, and not as it runs; "
                  "jpqd bench --accuracy measures that."]  # fmt: skip
    if shifted := [one.name for one in unlike if _is_shifted(one)]:
        parts += [f"Points of {', '.join(shifted)}: of its answers in f32."]
    return " ".join(parts)


def _is_shifted(one: Deployed) -> bool:
    """Return whether the precision changed the accuracy, and so the points."""
    if one.accuracy is None or one.accuracy.source == "manifest":
        return False
    sealed = [figures.get(one.accuracy.metric) for figures in one.stage.splits.values()]
    return one.accuracy.value not in sealed
