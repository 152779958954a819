"""Strict YAML: safe types, 1.2 scalars, no duplicate keys, no bombs, a line for every value."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from jpqd.errors import Problem, RecipeError

MAX_BYTES = 1_000_000
MAX_NODES = 10_000
MAX_DEPTH = 40

_MAP, _SEQ = "tag:yaml.org,2002:map", "tag:yaml.org,2002:seq"

Path_ = tuple[str | int, ...]


class _Loader(yaml.SafeLoader):
    """YAML 1.2 scalars: `no` and `on` are text, `1e-5` is a number, `1:30` and dates are text."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}


_SCALARS = [
    ("null", r"^(?:~|null|Null|NULL|)$", ["~", "n", "N", ""]),
    ("bool", r"^(?:true|True|TRUE|false|False|FALSE)$", list("tTfF")),
    ("int", r"^[-+]?(?:0|[1-9][0-9]*)$", list("-+0123456789")),
    (
        "float",
        r"^(?:[-+]?(?:\.[0-9]+|[0-9]+\.[0-9]*)(?:[eE][-+]?[0-9]+)?|[-+]?[0-9]+[eE][-+]?[0-9]+"
        r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$",
        list("-+.0123456789"),
    ),
]
for _tag, _pattern, _first in _SCALARS:
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(_pattern), _first)


@dataclass
class Document:
    """A parsed file: its value, the line of every path, and what is wrong with it."""

    source: str
    value: Any = None
    lines: dict[Path_, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def line(self, path: Path_) -> int | None:
        """The line of a path, or of the nearest thing around it that stands in the file."""
        while path not in self.lines and path:
            path = path[:-1]
        return self.lines.get(path)


def read(path: Path) -> Document:
    """Parse a file; a file that cannot be read at all is an error at once."""
    source = str(path)
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise _refuse(source, f"{size} bytes is too long for a recipe (at most {MAX_BYTES})")
        text = path.read_bytes().decode()
    except UnicodeDecodeError as error:
        raise _refuse(source, f"not a text file ({error.reason} at byte {error.start})") from None
    except OSError as error:
        raise _refuse(
            source,
            f"cannot be read: {error.strerror}",
            "Give the path of a recipe, for example recipes/demo.yaml.",
        ) from None
    return parse(text, source)


def parse(text: str, source: str) -> Document:
    try:
        node = yaml.compose(text, Loader=_Loader)
    except (yaml.YAMLError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        what = getattr(error, "problem", None) or "nested too deeply"
        line = mark.line + 1 if mark else None
        raise _refuse(
            source,
            f"not YAML: {what}",
            "Look at the indentation, the brackets and the quotes around this line.",
            line,
        ) from None
    document = Document(source)
    if node is not None:
        _Reader(document).read(node)
    return document


def scalar(text: str) -> Any:
    """A value as `--set key=value` gives it: the same rules as inside a file."""
    document = parse(text, "--set")
    if document.problems:
        raise RecipeError(document.problems)
    return document.value


def _refuse(source: str, message: str, remedy: str = "", line: int | None = None) -> RecipeError:
    return RecipeError([Problem(source, "", message, remedy, line)])


class _Reader:
    """Walks the nodes once, counting, so that aliases cannot blow up."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.nodes = 0
        self.scalars = _Loader("")

    def read(self, node: yaml.Node) -> None:
        self.document.value = self._value(node, ())

    def _value(self, node: yaml.Node, path: Path_) -> Any:
        self.nodes += 1
        line = node.start_mark.line + 1
        if self.nodes > MAX_NODES or len(path) > MAX_DEPTH:
            raise _refuse(
                self.document.source,
                f"more than {MAX_NODES} values or {MAX_DEPTH} levels once its aliases are expanded",
                "Write the recipe without nested aliases.",
                line,
            )
        self.document.lines.setdefault(path, line)
        if isinstance(node, yaml.MappingNode) and node.tag == _MAP:
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode) and node.tag == _SEQ:
            return [self._value(item, (*path, index)) for index, item in enumerate(node.value)]
        return self._scalar(node, path)

    def _mapping(self, node: yaml.MappingNode, path: Path_) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = str(key_node.value) if isinstance(key_node, yaml.ScalarNode) else "?"
            line = key_node.start_mark.line + 1
            if key in result:
                first = self.document.lines[(*path, key)]
                self._problem(
                    (*path, key),
                    f"{key!r} is given twice (first in line {first})",
                    "Keep one of the two.",
                    line,
                )
                continue
            self.document.lines[(*path, key)] = line
            result[key] = self._value(value_node, (*path, key))
        return result

    def _scalar(self, node: yaml.Node, path: Path_) -> Any:
        try:
            if not isinstance(node, yaml.ScalarNode):
                raise ValueError
            return self.scalars.construct_object(node)
        except (yaml.YAMLError, ValueError):
            self._problem(
                path,
                f"{node.tag} cannot be used here (got {str(node.value)[:60]!r})",
                "Write plain text, numbers, lists and maps; no tags.",
                node.start_mark.line + 1,
            )
            return None

    def _problem(self, path: Path_, message: str, remedy: str, line: int) -> None:
        shown = dotted(path)
        self.document.problems.append(Problem(self.document.source, shown, message, remedy, line))


def dotted(path: Path_) -> str:
    return ".".join(str(part) for part in path)
