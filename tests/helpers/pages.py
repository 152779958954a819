"""What a reader of an HTML page sees: its tables and its text; and what the page would load."""

import re
from html.parser import HTMLParser
from pathlib import Path

from jpqd.report.page import write
from jpqd.run import finder
from tests.helpers import made_bench

DEPLOYED = "Accuracy, speed and size of the same thing"
LATENCY = f"Latency, {made_bench.WORKLOAD}"
_LOADS = ("src", "href", "xlink:href", "srcset", "data", "action", "poster")


class Reader(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.tables: dict[str, list[list[str]]] = {}
        self.tags: list[str] = []
        self.loads: list[str] = []
        self.ids: list[str] = []
        self.attributes: set[str] = set()
        self.words: list[str] = []
        self._rows: list[list[str]] = []
        self._hint = False
        self._caption, self._captioned = "", False
        self.feed(page)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def row(self, table: str, name: str) -> dict[str, str]:
        head, *rows = self.tables[table]
        (found,) = [row for row in rows if row[0] == name]
        return dict(zip(head, found, strict=True))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attrs}
        self.loads += [value or "" for name, value in attrs if name in _LOADS]
        self.ids += [value or "" for name, value in attrs if name == "id"]
        if tag == "small":  # a few words below the head of a column
            self._hint = ("class", "hint") in attrs
        if tag == "caption":
            self._caption, self._captioned = "", True
        if tag == "tr":
            self._rows.append([])
        if tag in ("th", "td"):
            self._rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        if tag == "small":
            self._hint = False
        if tag == "caption":
            self._captioned = False
        if tag == "table":
            self.tables[self._caption] = [[" ".join(c.split()) for c in r] for r in self._rows]
            self._rows = []

    def handle_data(self, data: str) -> None:
        self.words.append(data)
        if self._captioned:
            self._caption = self._caption or data.strip()
        elif self._rows and self._rows[-1] and not self._hint:
            self._rows[-1][-1] += data


def styles_load(page: str) -> list[str]:
    """What style sheets and attributes would fetch; `url(#id)` is in the page itself."""
    return re.findall(r"@import[^;]*|url\(\s*['\"]?(?!#)[^)]*\)", page)


def written(folder: Path) -> tuple[str, str]:
    page, text = write.write(finder.find(folder.parent, folder.name), None)
    return page.read_text(), text.read_text()
