"""The chart of accuracy against latency, and the arms on its frontier."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from jpqd.core.bench_result import Arm, Estimate
from jpqd.report import words
from jpqd.report.page import svg
from jpqd.report.page.charts import Chart, logarithmic
from jpqd.report.page.gather import Page

_STEP = 9.0
"""The distance of a number from its point, in points of the drawing."""


@dataclass(frozen=True)
class Point:
    arm: Arm
    place: int
    latency: Estimate
    accuracy: float
    interval: tuple[float, float] | None

    @property
    def sides(self) -> tuple[float, float, float]:
        """The latency with its interval, from the low end to the high one."""
        value = self.latency.value or 0.0
        return self.latency.low or value, value, self.latency.high or value

    @property
    def heights(self) -> tuple[float, float, float]:
        low, high = self.interval or (self.accuracy, self.accuracy)
        return low, self.accuracy, high


def is_beaten(one: Point, other: Point) -> bool:
    """Return whether another point is surely better in one figure, and no worse in both.

    Surely means that the intervals do not overlap: arms that chance may have put in this order
    do not beat each other.
    """
    faster, better = other.sides[2] < one.sides[0], other.heights[0] > one.heights[2]
    no_worse = other.sides[1] <= one.sides[1] and other.accuracy >= one.accuracy
    return no_worse and (faster or better)


def frontier(points: Sequence[Point]) -> list[Point]:
    """Return the points that no other one beats."""
    return [one for one in points if not any(is_beaten(one, other) for other in points)]


def chart(page: Page) -> Chart | None:
    """Draw the arms with numbers; a filled mark is on the frontier, a hollow one is beaten."""
    points = sorted(_points(page), key=lambda point: point.sides[1])
    if len(points) < 2 or page.latency is None:
        return None
    score = points[0].arm.accuracy
    metric, n = (score.metric, score.n) if score else (page.metric, 0)
    best = frontier(points)
    drawn = svg.figure(max(3.2, 1.2 + 0.2 * len(points)))
    axes = drawn.add_subplot()
    scale, _ = words.scale_of(metric)
    for point in points:
        _draw(axes, point, scale, point in best)
    logarithmic(axes)
    axes.margins(x=0.08, y=0.12)
    _legend(axes, points, best)
    drawn.draw_without_rendering()  # settles where points lie
    _numbers(axes, points, scale)
    axes.set(xlabel="p50 latency, ms (logarithmic; left is faster)", ylabel=words.titled(metric))
    title = f"{metric.capitalize()} against latency: {page.latency.workload}"
    note = (
        f"Whiskers are 95% intervals; n = {n} rows for {metric}. Filled: on the frontier, which no "
        "other arm leaves behind beyond its interval: "
        f"{', '.join(point.arm.name for point in best)}.{_missing(page, points)}"
    )
    return Chart(title, svg.text(drawn, "tradeoff", title, note), note)


def _points(page: Page) -> Iterator[Point]:
    if page.bench is None or page.latency is None:
        return
    for place, arm in enumerate(page.bench.arms):
        score, latency = arm.accuracy, page.latency.arms[arm.name].latency_ms
        if score and latency and latency.p50.value is not None:
            yield Point(arm, place, latency.p50, score.value, score.interval)


def _draw(axes: Axes, point: Point, scale: float, on_frontier: bool) -> None:
    colour = svg.colour(point.place)
    (left, x, right), (low, y, high) = point.sides, (h * scale for h in point.heights)
    axes.errorbar(
        x, y, xerr=([x - left], [right - x]), yerr=([y - low], [high - y]),
        fmt=svg.mark(point.place), markersize=6.5, color=colour, ecolor=colour, elinewidth=0.8,
        alpha=None if on_frontier else 0.75, markerfacecolor=colour if on_frontier else "none",
    )  # fmt: skip


def _legend(axes: Axes, points: Sequence[Point], best: Sequence[Point]) -> None:
    """Name the numbers beside the drawing, the fastest first, where no two names can meet."""
    marks = [
        Line2D([], [], linestyle="none", marker=svg.mark(point.place), markersize=6.5,
               color=svg.colour(point.place),
               markerfacecolor=svg.colour(point.place) if point in best else "none")
        for point in points
    ]  # fmt: skip
    names = [f"{number}  {point.arm.name}" for number, point in enumerate(points, 1)]
    axes.legend(marks, names, loc="upper left", bbox_to_anchor=(1.01, 1.03), handletextpad=0.3)


def _numbers(axes: Axes, points: Sequence[Point], scale: float) -> None:
    """Write each number beside its point, at the first place that is free."""
    dots = 72 / axes.get_figure().dpi  # type: ignore[union-attr]
    places = [
        tuple(axes.transData.transform((point.sides[1], point.accuracy * scale)) * dots)
        for point in points
    ]
    taken: list[tuple[float, float]] = [*places]
    for number, (point, (x, y)) in enumerate(zip(points, places, strict=True), 1):
        right, up = next(
            (right, up) for right, up in _around() if _is_free(taken, (x + right, y + up))
        )
        taken.append((x + right, y + up))
        axes.annotate(
            str(number), (point.sides[1], point.accuracy * scale), xytext=(right, up),
            textcoords="offset points", ha="center", va="center", fontsize=8,
        )  # fmt: skip


def _around() -> Iterator[tuple[float, float]]:
    """Yield places around a point, ever further away."""
    step = _STEP
    while True:
        yield from ((step, step), (-step, step), (step, -step), (-step, -step))
        yield from ((step, 0), (-step, 0), (0, step), (0, -step))
        step += 3.0


def _is_free(taken: Sequence[tuple[float, float]], place: tuple[float, float]) -> bool:
    return all(abs(place[0] - x) >= 8 or abs(place[1] - y) >= 8 for x, y in taken)


def _missing(page: Page, points: Sequence[Point]) -> str:
    drawn = {point.arm.name for point in points}
    rest = [arm.name for arm in (page.bench.arms if page.bench else []) if arm.name not in drawn]
    if not rest:
        return ""
    return f" Without a measured accuracy or p50: {', '.join(rest)} (jpqd bench --accuracy)."
