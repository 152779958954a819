"""Figures in words: each with its interval, its n, or what is missing for one."""

from jpqd.core.bench_result import Accuracy, Arm, Estimate

NONE = "-"
INTERVAL = "[95%]"


def number(value: float | None) -> str:
    """Three digits, and all of what is larger."""
    if value is None:
        return NONE
    return f"{value:,.0f}" if abs(value) >= 99.95 else f"{value:#.3g}"


def measured(found: Estimate | None, unit: str = "") -> str:
    """With its interval, or the number of requests that it takes."""
    if found is None:
        return NONE
    if found.value is None:
        return f"needs n >= {found.needs}" if found.needs else NONE
    text = f"{number(found.value)}{unit}"
    if found.low is None or found.high is None:
        return text
    return f"{text} [{number(found.low)}, {number(found.high)}]"


def ratio(found: Estimate | None) -> str:
    if found is None or found.value is None:
        return NONE
    inside = "" if found.low is None else f" [{found.low:.2f}, {found.high:.2f}]"
    return f"{found.value:.2f}x{inside}"


def score(metric: str, value: float | None, interval: object = None) -> str:
    """An accuracy in percent, a correlation as it is."""
    if value is None:
        return NONE
    scale, places = scale_of(metric)
    text = f"{value * scale:.{places}f}"
    if not isinstance(interval, list | tuple):
        return text
    low, high = (f"{bound * scale:.{places}f}" for bound in interval)
    return f"{text} [{low}, {high}]"


def said(metric: str, value: float, interval: object = None) -> str:
    """In a sentence."""
    text, percent = score(metric, value, interval), "%" if is_percent(metric) else ""
    first, *rest = text.split(" ", 1)
    return " ".join([metric, f"{first}{percent}", *rest])


def difference(metric: str, found: tuple[float, float, float] | None) -> str:
    if found is None:
        return NONE
    scale, places = scale_of(metric)
    middle, low, high = (f"{value * scale:+.{places}f}" for value in found)
    return f"{middle} [{low}, {high}]"


def scale_of(metric: str) -> tuple[int, int]:
    return (100, 2) if is_percent(metric) else (1, 4)


def is_percent(metric: str) -> bool:
    """Shares are shown in percent, correlations as they are."""
    return metric in ("accuracy", "f1", "precision", "recall")


def points(metric: str) -> str:
    return "points" if is_percent(metric) else "difference"


def titled(metric: str) -> str:
    return f"{metric}, %" if is_percent(metric) else metric


def accuracy(found: Accuracy | None) -> str:
    """Of an arm."""
    if found is None:
        return NONE
    return f"{score(found.metric, found.value, found.interval)}, n {found.n}"


def share(value: float | None) -> str:
    return NONE if value is None else f"{value:.1%}"


def megabytes(size: float | None) -> str:
    return NONE if size is None else f"{size / 1e6:.2f}"


def arm(found: Arm) -> str:
    return f"{found.backend} {found.precision}"
