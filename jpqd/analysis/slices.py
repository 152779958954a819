"""Parts of a split on which a model may do worse: short and long texts, negations, each class."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import numpy as np

FEWEST = 20
"""The rows below which a part says nothing."""
_NEGATIONS = re.compile(
    r"\b(not|no|never|none|nothing|nobody|neither|nor|without|cannot)\b|n['\u2019]t\b"
    r"|(?:^|\s)(안|못)\s|않|없",
    re.IGNORECASE,
)


def of_texts(texts: Sequence[str], labels: np.ndarray, names: Sequence[str]) -> Iterator[
    tuple[str, np.ndarray]
]:  # fmt: skip
    """Yield parts with their names: thirds by length, texts with a negation, classes."""
    words = np.array([len(text.split()) for text in texts])
    low, high = np.quantile(words, [1 / 3, 2 / 3])
    parts = {
        "short": words <= low,
        "middle": (words > low) & (words <= high),
        "long": words > high,
        "negation": np.array([bool(_NEGATIONS.search(text)) for text in texts]),
    }
    parts |= {f"label {name}": labels == number for number, name in enumerate(names)}
    for name, chosen in parts.items():
        if FEWEST <= chosen.sum() < len(texts):
            yield name, np.flatnonzero(chosen)
