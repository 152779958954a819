"""Strict YAML 1.2: safe types, no duplicate keys, limited size, a line for every value."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from jpqd.core.errors import Problem, RecipeError

MAX_BYTES = 200_000
MAX_NODES = 10_000
MAX_DEPTH = 40

KeyPath = tuple[str | int, ...]
Place = tuple[str, int | None]
"""A file and a line, or a `--set` without one."""

_TAG = "tag:yaml.org,2002:"


class _Loader(yaml.SafeLoader):
    """A loader of YAML 1.2 scalars: `no`, `on`, `1:30` and dates are text, `1e-5` is a number."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}


class _Fast(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """The same in C, where PyYAML was built with it."""

    yaml_implicit_resolvers = _Loader.yaml_implicit_resolvers


def _int(text: str) -> int:
    return int(text, 0) if text[:2] in ("0o", "0x") else int(text)


def _float(text: str) -> float:
    return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))


_SCALARS: dict[str, tuple[str, list[str], Callable[[str], Any]]] = {
    "null": (r"(?:~|null|Null|NULL|)", ["~", "n", "N", ""], lambda text: None),
    "bool": (
        r"(?:true|True|TRUE|false|False|FALSE)",
        list("tTfF"),
        lambda text: text.lower() == "true",
    ),
    "int": (r"(?:[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+)", list("-+0123456789"), _int),
    "float": (
        r"(?:[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?"
        r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))",
        list("-+.0123456789"),
        _float,
    ),
    "str": (r"(?s:.*)", [], str),
}
for _kind, (_pattern, _first, _) in _SCALARS.items():
    if _first:
        _Loader.add_implicit_resolver(_TAG + _kind, re.compile(_pattern + r"\Z"), _first)

_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")


@dataclass
class Document:
    """A parsed file: its value, the place of every key path, and its problems."""

    source: str
    value: Any = None
    places: dict[KeyPath, Place] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def place(self, path: KeyPath) -> Place:
        """Return the place of a path, or of the nearest value around it."""
        while path not in self.places and path:
            path = path[:-1]
        return self.places.get(path, (self.source, None))

    def problem(self, path: KeyPath, message: str, remedy: str = "") -> Problem:
        source, line = self.place(path)
        return Problem(source, dotted(path), message, remedy, line)


def read(path: Path) -> Document:
    """Parse a file; raise at once where it cannot be read."""
    source = str(path)
    try:
        with path.open("rb") as file:  # never the whole of it: it may be a device without end
            content = file.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise _refuse(source, f"too long for a recipe (at most {MAX_BYTES} bytes)", _IS_RECIPE)
        text = content.decode()
    except UnicodeDecodeError as error:
        message = f"not a text file ({error.reason} at byte {error.start})"
        raise _refuse(source, message, "Save it as UTF-8.") from None
    except OSError as error:
        raise _refuse(source, f"cannot be read: {error.strerror}", _IS_RECIPE) from None
    except ValueError as error:
        raise _refuse(repr(source), f"cannot be read: {error}", _IS_RECIPE) from None
    return parse(text, source)


_IS_RECIPE = "Give the path of a recipe, for example recipes/demo.yaml."


def parse(text: str, source: str) -> Document:
    """Parse a text; raise at once where it is not YAML, and keep other mistakes in `problems`."""
    try:
        node = _compose(text)
    except (yaml.YAMLError, RecursionError, ValueError, OverflowError) as error:
        what, line = _not_yaml(error, text)
        remedy = "Look at the indentation, the brackets and the quotes around this line."
        raise _refuse(source, f"not YAML: {what}", remedy, line) from None
    document = Document(source)
    if node is not None:
        _Reader(document).read(node)
    return document


def _compose(text: str) -> yaml.Node | None:
    """Compose in C, and again in Python what C refuses, for a message of Python's."""
    try:
        if _depth(text) <= MAX_DEPTH:  # the C code calls itself without a limit, until it crashes
            return yaml.compose(text, Loader=_Fast)
    except (yaml.YAMLError, ValueError):
        pass
    return yaml.compose(text, Loader=_Loader)


def _depth(text: str) -> int:
    """Count the levels, but no further than one too many."""
    depth = deepest = 0
    for event in yaml.parse(text, Loader=_Fast):
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if (deepest := max(depth, deepest)) > MAX_DEPTH:
            break
    return deepest


def scalar(text: str) -> Any:
    """Parse the value of `--set key=value` by the rules of a file."""
    document = parse(text, "--set")
    if document.problems:
        raise RecipeError(document.problems)
    return document.value


def _not_yaml(error: Exception, text: str) -> tuple[str, int | None]:
    if isinstance(error, yaml.reader.ReaderError):
        line = text.count("\n", 0, error.position) + 1
        return f"the character {error.character:#x} is not allowed", line
    if isinstance(error, yaml.MarkedYAMLError) and error.problem:
        return error.problem, error.problem_mark.line + 1 if error.problem_mark else None
    if isinstance(error, RecursionError):
        return "nested too deeply", None
    return f"a number or a character is out of range ({error})", None  # such as "\Uffffffff"


def _refuse(source: str, message: str, remedy: str, line: int | None = None) -> RecipeError:
    return RecipeError([Problem(source, "", message, remedy, line)])


class _Reader:
    """A walk over the nodes that counts them, so that aliases cannot expand without end."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.nodes = 0

    def read(self, node: yaml.Node) -> None:
        self.document.value = self._value(node, ())

    def _value(self, node: yaml.Node, path: KeyPath) -> Any:
        self._count(node, path)
        self.document.places.setdefault(path, (self.document.source, node.start_mark.line + 1))
        if isinstance(node, yaml.MappingNode) and node.tag == _TAG + "map":
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode) and node.tag == _TAG + "seq":
            return [self._value(item, (*path, index)) for index, item in enumerate(node.value)]
        return self._scalar(node, path)

    def _count(self, node: yaml.Node, path: KeyPath) -> None:
        self.nodes += 1
        if self.nodes > MAX_NODES or len(path) > MAX_DEPTH:
            raise _refuse(
                self.document.source,
                f"more than {MAX_NODES} values or {MAX_DEPTH} levels once its aliases are expanded",
                "Write the recipe without aliases inside aliases.",
                node.start_mark.line + 1,
            )

    def _mapping(self, node: yaml.MappingNode, path: KeyPath) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if problem := _scalar_problem(key_node):
                self._problem(path, f"a key is not plain text: {problem}", _PLAIN, key_node)
                continue
            inner = (*path, key_node.value)
            if key_node.value in result:
                message = f"is given twice (first in line {self.document.places[inner][1]})"
                self._problem(inner, message, "Keep one of the two.", key_node)
                continue
            self.document.places[inner] = (self.document.source, key_node.start_mark.line + 1)
            result[key_node.value] = self._value(value_node, inner)
        return result

    def _scalar(self, node: yaml.Node, path: KeyPath) -> Any:
        if problem := _scalar_problem(node):
            self._problem(path, problem, _PLAIN, node)
            return None
        return _SCALARS[node.tag.removeprefix(_TAG)][2](node.value)

    def _problem(self, path: KeyPath, message: str, remedy: str, node: yaml.Node) -> None:
        line = node.start_mark.line + 1
        problem = Problem(self.document.source, dotted(path), message, remedy, line)
        self.document.problems.append(problem)


_PLAIN = "Write plain text, numbers, lists and maps; no tags."
_MAX_DIGITS = 4000  # more is an error of int() itself


def _scalar_problem(node: yaml.Node) -> str:
    """Return the reason why a node is not a plain value; empty where it is one."""
    kind, tag = node.tag.removeprefix(_TAG), node.tag.replace(_TAG, "!!")
    if not isinstance(node, yaml.ScalarNode):
        return f"a list or a map of kind {tag} cannot stand here"
    if kind not in _SCALARS or not re.fullmatch(_SCALARS[kind][0], node.value):
        return f"the tag {tag} does not fit here (got {node.value[:60]!r})"
    if kind == "int" and len(node.value) > _MAX_DIGITS:
        return f"a number of {len(node.value)} digits is too long"
    if _CONTROL.search(node.value):
        return f"control characters are not allowed (got {node.value[:60]!r})"
    return ""


def dotted(path: KeyPath) -> str:
    """Write a path as `stages.teacher.epochs`; quote keys that would garble the line."""
    return ".".join(_part(str(part)) for part in path)


def _part(text: str) -> str:
    return text if re.fullmatch(r"[\w-]{1,100}", text, re.ASCII) else repr(text[:100])
