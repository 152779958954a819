"""The result of `jpqd shrink`: the dense INT8 model beside the small one, and the target."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.table import Table

from jpqd.core import artifact, bench_result, compression_plan, terminal
from jpqd.core.bench_result import Bench, Estimate
from jpqd.core.compression_plan import Plan
from jpqd.core.manifest import Manifest, main_figure
from jpqd.report import words

_IRS = ("ptq_ir", "small_ir")
_TIMES = ("speedup", "p50_ms")
_TO_SPARE = 1.02
_STEP = 1.1
"""The most by which a plan is faster than the one before it: one measurement may be far off."""
_NEAREST = "recall_10"
"""The share of the ten texts that the model finds nearest: of vectors, whose cosine says little."""


@dataclass(frozen=True)
class Verdict:
    """A target beside what was predicted and measured."""

    target: str
    asked: float
    predicted: float
    measured: float | None
    """None where too few requests were measured to tell."""
    low: float | None
    high: float | None
    reached: bool

    def __str__(self) -> str:
        if self.measured is None:
            return (
                f"target {self.target} {self.asked:g}: not measured, predicted {self.predicted:.3g}"
            )
        inside = "" if self.low is None else f" [{self.low:.3g}, {self.high:.3g}]"
        word = "reached" if self.reached else f"MISSED by {self._short_of(self.measured)}"
        return (
            f"target {self.target} {self.asked:g}: {word}. "
            f"Measured {self.measured:.3g}{inside}, predicted {self.predicted:.3g}"
        )

    @property
    def further(self) -> float | None:
        """Return the margin of a plan that would come nearer to this time, if it was missed."""
        if self.reached or not self.measured or self.target not in _TIMES:
            return None
        ahead, short = self.predicted / self.asked, self.asked / self.measured
        if self.target == "p50_ms":
            ahead, short = 1 / ahead, 1 / short
        return ahead * min(_TO_SPARE * short, _STEP)

    def _short_of(self, measured: float) -> str:
        if self.target == "accuracy_drop":  # 0 may be asked, and a share of points says little
            return f"{measured - self.asked:.2f} points"
        return f"{abs(measured / self.asked - 1):.1%}"


@dataclass(frozen=True)
class Shrunk:
    """Sealed figures of a run of `jpqd shrink`."""

    plan: Plan
    bench: Bench
    model: Manifest
    irs: dict[str, Manifest]

    @property
    def metric(self) -> str:
        return main_figure(self._figures(self.model))

    def _figures(self, stage: Manifest) -> dict[str, Any]:
        return next(iter(stage.splits.values()))

    def verdicts(self) -> Iterator[Verdict]:
        for name, asked in self.plan.target.items():
            predicted, measured = self._predicted(name), self._measured(name)
            value, more = measured.value, name == "speedup"
            good = value is not None and (value >= asked if more else value <= asked)
            yield Verdict(name, asked, predicted, value, measured.low, measured.high, good)

    def further(self) -> float | None:
        """Return the margin of a plan that would come nearer, if a time was missed."""
        margins = [one.further for one in self.verdicts() if one.further]
        return round(max(margins), 3) if margins else None

    def _predicted(self, name: str) -> float:
        chosen, whole = self.plan.chosen, self.plan.whole
        if name == "accuracy_drop":
            return 100 * ((whole.score or 0.0) - (chosen.score or 0.0))
        return self.plan.speedup if name == "speedup" else float(getattr(chosen, name))

    def _measured(self, name: str) -> Estimate:
        if name == "accuracy_drop":
            whole, small = self._figures(self.model), self._figures(self.irs["small_ir"])
            return Estimate(value=100 * (whole[self.metric] - small[self.metric]))
        if name == "size_mb":
            return Estimate(value=self.bench.arm("small_ir").bytes / 1e6)
        figures = self.bench.measurements[0].arms["small_ir"]
        if name == "speedup":
            return figures.speedup or Estimate()
        return figures.latency_ms.p50 if figures.latency_ms else Estimate()

    def table(self, title: str) -> Table:
        table = terminal.new_table(title)
        table.add_column("")
        for name in ("model, f32", "whole, INT8", "small, INT8"):
            table.add_column(name, justify="right", no_wrap=True)
        table.add_row("p50, ms", words.NONE, *(self._p50(name) for name in _IRS))
        sizes = [self.model.deployed_bytes, *(self.bench.arm(name).bytes for name in _IRS)]
        table.add_row("file, MB", *(words.megabytes(size) for size in sizes))
        count = self._figures(self.model)["n"]
        table.add_row(f"{self.metric}, n {count:,}", *self._scores(self.metric))
        if _NEAREST in self._figures(self.model):
            table.add_row("of its nearest ten", *self._scores(_NEAREST))
        return table

    def left(self) -> str:
        """Name the heads and neurons of each layer."""
        layers = " ".join(f"{heads}/{neurons}" for heads, neurons in self.plan.chosen.layers)
        whole = [f"{heads}/{neurons}" for heads, neurons in self.plan.whole.layers]
        of = whole[0] if len(set(whole)) == 1 else " ".join(whole)
        return f"heads/neurons that stay in each layer, of {of}: {layers}"

    def _p50(self, name: str) -> str:
        latency = self.bench.measurements[0].arms[name].latency_ms
        return words.measured(latency.p50) if latency else words.NONE

    def _scores(self, name: str) -> list[str]:
        each = [self._figures(stage) for stage in (self.model, *self.irs.values())]
        return [words.score(name, one[name], one.get(f"{name}_95")) for one in each]

    def plain(self) -> dict[str, Any]:
        return {
            "targets": [vars(verdict) for verdict in self.verdicts()],
            "metric": self.metric,
            "model": self._figures(self.model),
            **{name: self._figures(stage) for name, stage in self.irs.items()},
            "bytes": {name: self.bench.arm(name).bytes for name in _IRS},
            "layers": self.plan.chosen.layers,
        }


def read(run: Path) -> Shrunk:
    def manifest(stage: str) -> Manifest:
        return artifact.open_sealed(run / stage).manifest

    return Shrunk(
        plan=compression_plan.load(run / "plan"),
        bench=bench_result.read(run / "bench"),
        model=manifest("model"),
        irs={name: manifest(name) for name in _IRS},
    )
