"""The contents of `advice.json`: what follows from the worth of a model's parts."""

from __future__ import annotations

from pathlib import Path

from jpqd.core import contents
from jpqd.core.contents import Part

FILE = "advice.json"


class Advice(Part):
    ignore: list[str]
    """Modules that lose too much in 8 bits."""
    floor: float
    """The least share of each layer's heads, and of its neurons, that should stay."""


def save(advice: Advice, folder: Path) -> None:
    contents.save(advice, folder / FILE)


def load(folder: Path) -> Advice:
    return contents.load(folder / FILE, Advice, "advice of a stage of `use: sensitivity`")
