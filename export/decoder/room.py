"""The memory that a model takes, and the bytes of an IR."""

from __future__ import annotations

import json
import os
from pathlib import Path

from export.names import MODEL
from jpqd.core.errors import UserError

_COPIES = 2.5
"""A model in f32, its IR beside it, and what the conversion needs."""


def refuse_too_large(folder: Path) -> None:
    """Refuse a model that this machine cannot hold, before it begins to swap."""
    weights = sum(path.stat().st_size for path in folder.glob("model*.safetensors"))
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    short = str(config.get("dtype") or config.get("torch_dtype")) in ("bfloat16", "float16")
    needed = weights * (2 if short else 1) * _COPIES
    if needed > (have := _memory()):
        raise UserError(
            f"{folder}: to export its weights ({weights / 1e9:.1f} GB on disk) takes about "
            f"{needed / 1e9:.0f} GB of memory, and this machine has {have / 1e9:.0f} GB. "
            "Use a machine with more."
        )


def _memory() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def of_ir(folder: Path) -> int:
    """Return the bytes of an IR with its weights."""
    xml = folder / MODEL
    return xml.stat().st_size + xml.with_suffix(".bin").stat().st_size
