"""JSON files that carry a hash of their own content: an edit or a damaged byte shows.

A seal shows accidents and edits. It is no signature: whoever can write the file can seal it again.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

from jpqd.core import files

SEAL, FORMAT = "seal", "format"
_COMMENT = "<!-- sha256 of all above: "
_SINCE = 2
"""The first format that has a seal. Files of version 0.1 have none."""


def digest(value: Any) -> str:
    """Return the SHA-256 of a JSON value: the same for the same content."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def write(path: Path, content: dict[str, Any]) -> None:
    content = {FORMAT: _SINCE, **json.loads(json.dumps(content, default=str))}
    files.write_json(path, {**content, SEAL: digest(content)})


def read(path: Path) -> dict[str, Any] | None:
    """Return the content of a sealed file; None where it is missing, torn or edited."""
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) and _holds(content) else None


def sealed_page(text: str) -> str:
    """Add the hash of a page to its end, as a comment of HTML and of Markdown."""
    return f"{text}{_COMMENT}{hashlib.sha256(text.encode()).hexdigest()} -->\n"


def is_page_sealed(path: Path) -> bool:
    """Return whether a page is as it was written."""
    text, _, _ = path.read_text(encoding="utf-8", errors="replace").rpartition(_COMMENT)
    return sealed_page(text).encode() == path.read_bytes()


def _holds(content: dict[str, Any]) -> bool:
    if SEAL not in content:
        return bool(content.get(FORMAT, 1) == 1)
    seal = str(content.pop(SEAL))
    return seal == digest(content)
