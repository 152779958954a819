"""Turns a validation error into a Problem: where, what, the value, the remedy."""

from collections.abc import Mapping
from typing import Any

from jpqd import plugins
from jpqd.errors import Problem
from jpqd.schema import Spec
from jpqd.yamlfile import Document, dotted

_EXPECTED = {
    "missing": "is missing",
    "extra_forbidden": "unknown key",
    "string_type": "must be text",
    "string_too_short": "must not be empty",
    "int_type": "must be a whole number",
    "float_type": "must be a number",
    "finite_number": "must be a finite number",
    "bool_type": "must be true or false",
    "dict_type": "must be a map",
    "tuple_type": "must be a list",
    "greater_than": "must be greater than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be at most {le}",
    "literal_error": "must be one of: {expected}",
    "too_short": "needs at least {min_length}",
    "too_long": "takes at most {max_length}",
}
_NAME = "must be a name of letters, digits, `_` and `-`: it becomes a folder's name, never a path"


def explain(
    detail: Any, document: Document, specs: Mapping[tuple[Any, ...], type[Spec]]
) -> Problem:
    """One pydantic error in the words of the recipe. `specs` says what stands at which place."""
    path = tuple(part for part in detail["loc"] if part != "[key]")
    message = _message(detail)
    if detail["type"] not in ("missing", "extra_forbidden"):
        message += f" (got {_shown(detail['input'])})"
    shown_in = "--set" if _only_set(path, document) else document.source
    line = None if shown_in == "--set" else document.line(path)
    return Problem(shown_in, dotted(path), message, _remedy(detail, path, specs), line)


def _message(detail: Any) -> str:
    if detail["type"] == "string_pattern_mismatch":
        return _NAME
    template = _EXPECTED.get(detail["type"])
    if template:
        return template.format(**detail.get("ctx", {}))
    return str(detail["msg"]).removeprefix("Value error, ")


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _only_set(path: tuple[Any, ...], document: Document) -> bool:
    """Values that came from `--set` have no line of their own."""
    value = document.value
    for part in path:
        try:
            value = value[part]
        except (KeyError, IndexError, TypeError):
            return False
    return bool(path) and path not in document.lines and path != ("name",)


def _remedy(detail: Any, path: tuple[Any, ...], specs: Mapping[tuple[Any, ...], type[Spec]]) -> str:
    spec = specs.get(path[:-1])
    if detail["type"] == "extra_forbidden" and spec:
        advice = plugins.unknown(path[-1], spec.model_fields)
        return advice[0].upper() + advice[1:] + "."
    if detail["type"] == "missing":
        return f"Add `{path[-1]}:` there."
    return ""
