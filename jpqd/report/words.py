"""Figures as text: each with its interval and n, or with the reason why it has none."""

from jpqd.core.bench_result import Accuracy, Arm, Estimate
from jpqd.core.manifest import Manifest
from jpqd.recipe.task import kinds

NONE = "-"
INTERVAL = "[95%]"


def number(value: float | None) -> str:
    """Write a number with three digits, or as a whole number where that is longer."""
    if value is None:
        return NONE
    return f"{value:,.0f}" if abs(value) >= 99.95 else f"{value:#.3g}"


def measured(estimate: Estimate | None, unit: str = "") -> str:
    """Write an estimate with its interval, or the number of requests that it needs."""
    if estimate is None:
        return NONE
    if estimate.value is None:
        return f"needs n >= {estimate.needs}" if estimate.needs else NONE
    text = f"{number(estimate.value)}{unit}"
    if estimate.low is None or estimate.high is None:
        return text
    return f"{text} [{number(estimate.low)}, {number(estimate.high)}]"


def ratio(estimate: Estimate | None) -> str:
    if estimate is None or estimate.value is None:
        return NONE
    inside = "" if estimate.low is None else f" [{estimate.low:.2f}, {estimate.high:.2f}]"
    return f"{estimate.value:.2f}x{inside}"


def ratio_in_words(estimate: Estimate) -> str:
    inside = f" (95%: {estimate.low:.2f} to {estimate.high:.2f})" if estimate.low else ""
    return f"{estimate.value:.2f} times{inside}"


def score(metric: str, value: float | None, interval: object = None) -> str:
    """Write an accuracy in percent, and a correlation as it is."""
    if value is None:
        return NONE
    scale, places = scale_of(metric)
    text = f"{value * scale:.{places}f}"
    if not isinstance(interval, list | tuple):
        return text
    if None in interval:
        return text
    low, high = (f"{bound * scale:.{places}f}" for bound in interval)
    return f"{text} [{low}, {high}]"


def sentence(metric: str, value: float, interval: object = None) -> str:
    """Write a metric and its score as part of a sentence."""
    text, percent = score(metric, value, interval), "%" if is_percent(metric) else ""
    first, *rest = text.split(" ", 1)
    return " ".join([metric, f"{first}{percent}", *rest])


def difference(metric: str, interval: tuple[float, float, float] | None) -> str:
    if interval is None:
        return NONE
    middle, low, high = (signed(metric, value) for value in interval)
    return f"{middle} [{low}, {high}]"


def signed(metric: str, value: float) -> str:
    scale, places = scale_of(metric)
    return f"{value * scale:+.{places}f}"


def unit(metric: str) -> str:
    """Name the unit of a difference in a sentence."""
    return "points" if is_percent(metric) else f"of {metric}"


def scale_of(metric: str) -> tuple[int, int]:
    return (100, 2) if is_percent(metric) else (1, 4)


def is_percent(metric: str) -> bool:
    """Return whether a figure is a share, which is shown in percent."""
    return any(metric in kind.shares for kind in kinds())


def points(metric: str) -> str:
    return "points" if is_percent(metric) else "difference"


def titled(metric: str) -> str:
    return f"{metric}, %" if is_percent(metric) else metric


def accuracy(figure: Accuracy | None) -> str:
    """Write the accuracy of an arm."""
    if figure is None:
        return NONE
    return f"{score(figure.metric, figure.value, figure.interval)}, n {figure.n}"


def share(value: float | None) -> str:
    return NONE if value is None else f"{value:.1%}"


def megabytes(size: float | None) -> str:
    return NONE if size is None else f"{size / 1e6:.2f}"


def arm(arm: Arm) -> str:
    return f"{arm.backend} {arm.precision}"


def body(stage: Manifest) -> str:
    """Name what pruning cuts: the encoder of a model, or the decoder."""
    task = stage.metrics.get("task") or (stage.metrics.get("data") or {}).get("task")
    return "decoder" if task == "causal_lm" else "encoder"
