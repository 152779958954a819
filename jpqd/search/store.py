"""Results of searches, kept by content: nothing is run twice, by one that was killed or another."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from filelock import FileLock

from jpqd.core import seals


class Store:
    """A file with a line for each result. The key of a line is the hash of what it is of."""

    def __init__(self, path: Path, of: dict[str, Any]) -> None:
        """Open the store; `of` is all that results depend on beside what is asked for."""
        self.path, self.of = path, of
        self.seconds = 0.0
        """The time that all results took which were asked for, whenever they were made."""
        self.lines = dict(_read(path))

    def once(self, asked: Any, make: Callable[[], Any]) -> Any:
        """Return the result that was asked for, and make it where there is none."""
        if not self.has(asked):
            started = time.monotonic()
            result = make()
            self.put(asked, result, time.monotonic() - started)
        line = self.lines[self._key(asked)]
        self.seconds += line["seconds"]
        return line["result"]

    def has(self, asked: Any) -> bool:
        return self._key(asked) in self.lines

    def put(self, asked: Any, result: Any, seconds: float) -> None:
        """Keep a result that took these seconds."""
        line = {"key": self._key(asked), "result": result, "seconds": seconds}
        self._write(line)
        self.lines[line["key"]] = line

    def _key(self, asked: Any) -> str:
        return seals.digest([self.of, asked])

    def _write(self, line: dict[str, Any]) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with (
            FileLock(self.path.with_suffix(".lock")),
            self.path.open("a", encoding="utf-8") as file,
        ):
            # A kill may have left half a line, which must not become a part of this one.
            file.write("\n" + json.dumps({**line, "seal": seals.digest(line)}))
            file.flush()
            os.fsync(file.fileno())


def _read(path: Path) -> list[tuple[str, dict[str, Any]]]:
    found = []
    whole = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
    for text in whole.splitlines():
        with suppress(
            ValueError, KeyError, TypeError, AttributeError
        ):  # a line that a kill cut short
            line = json.loads(text)
            if line.pop("seal") == seals.digest(line):
                found.append((str(line["key"]), line))
    return found
