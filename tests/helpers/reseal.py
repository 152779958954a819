"""Sealed JSON files with other content, sealed again: what a program could have written."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from jpqd.core import seals


def edit(path: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    """Change a manifest or a recipe, which is a dictionary."""
    content = seals.read(path)
    assert content is not None, f"{path} is not as sealed"
    change(content)
    seals.write(path, content)
