"""Messages for validation errors: the place, the mistake, the value and the remedy."""

import json
import re
from collections.abc import Mapping
from typing import Any

from jpqd.core.errors import Problem
from jpqd.recipe import plugins
from jpqd.recipe.schema import NAME_PATTERN, STAGE_PATTERN, Spec
from jpqd.recipe.yamlfile import Document, KeyPath

_EXPECTED = {
    "missing": "is missing",
    "extra_forbidden": "unknown key",
    "string_type": "must be text",
    "string_too_short": "must not be empty",
    "string_too_long": "must have at most {max_length} characters",
    "int_type": "must be a whole number",
    "float_type": "must be a number",
    "finite_number": "must be a finite number",
    "bool_type": "must be true or false",
    "dict_type": "must be a map",
    "model_type": "must be a map",
    "tuple_type": "must be a list",
    "greater_than": "must be greater than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be at most {le}",
    "literal_error": "must be one of: {expected}",
    "too_short": "needs at least {min_length}",
    "too_long": "takes at most {max_length}",
}
_FOLDER = "and start with a letter or digit, at most 100: it becomes a folder's name, never a path"
_PATTERNS = {
    NAME_PATTERN: f"must consist of letters, digits, `.`, `_` and `-` {_FOLDER}",
    STAGE_PATTERN: f"must consist of letters, digits, `_` and `-` {_FOLDER}",
}
_NUMBER = re.compile(r"[-+]?(\.\d+|\d+(\.\d*)?)([eE][-+]?\d+)?", re.ASCII)


def explain(detail: Any, document: Document, specs: Mapping[KeyPath, type[Spec]]) -> Problem:
    """Turn a pydantic error into a Problem. `specs` names the Spec that reads each place."""
    path = detail["loc"]
    if path[-1:] == ("[key]",) and detail["type"] != "extra_forbidden":
        path = path[:-1]  # about the key itself; pydantic's mark, not the user's
    message = _message(detail["type"], detail.get("ctx", {}), detail["msg"])
    if _worth_showing(detail):
        message += f" (got {short_text(detail['input'])})"
    return document.problem(path, message, _remedy(detail, path, specs))


def short_text(value: Any) -> str:
    """Return a value as one short line of a message."""
    if value is None or isinstance(value, bool):
        return {None: "nothing", True: "true", False: "false"}[value]
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _message(kind: str, context: dict[str, Any], otherwise: str) -> str:
    if kind == "mistake":
        return str(context["message"])
    if kind == "string_pattern_mismatch":
        return _PATTERNS.get(context["pattern"], f"must match {context['pattern']}")
    if kind in _EXPECTED:
        limits = {k: f"{v:g}" if isinstance(v, float) else v for k, v in context.items()}
        return _EXPECTED[kind].format(**limits)
    return otherwise.removeprefix("Value error, ")


def _worth_showing(detail: Any) -> bool:
    """Return whether the value helps the reader; a whole map or a missing value does not."""
    if detail["type"] in ("mistake", "value_error"):
        return not isinstance(detail["input"], dict)
    return detail["type"] not in ("missing", "extra_forbidden")


def _remedy(detail: Any, path: KeyPath, specs: Mapping[KeyPath, type[Spec]]) -> str:
    kind = detail["type"]
    spec = specs.get(path[:-1])
    if kind == "mistake":
        return str(detail["ctx"]["remedy"])
    if kind == "missing":
        return f"Add `{path[-1]}:` there."
    if kind == "extra_forbidden":
        fields = spec.model_fields.items() if spec else ()
        return plugins.advice(path[-1], [one.alias or name for name, one in fields]) if spec else ""
    return _rewritten(detail, path) or _default_hint(spec, path)


def _rewritten(detail: Any, path: KeyPath) -> str:
    """Suggest the given value in a form that would be accepted."""
    kind, given = detail["type"], detail["input"]
    if kind == "tuple_type" and isinstance(given, str | int | float):
        return f"Write a list: `{path[-1]}: [{_yaml(given)}]`."
    if kind in ("int_type", "float_type") and isinstance(given, str) and _NUMBER.fullmatch(given):
        return f"Write it without quotes: {given}."
    if kind == "int_type" and isinstance(given, float) and given.is_integer() and given < 1e15:
        return f"Write {int(given)}."
    if kind == "string_type" and isinstance(given, int | float):
        return f'Put it in quotes: "{_yaml(given)}".'
    if kind == "literal_error":
        close = plugins.closest(given, re.findall(r"'([^']*)'", detail["ctx"]["expected"]))
        return f"Did you mean {close!r}?" if close else ""
    if kind == "too_short":
        return f"Such as `{path[-1]}: [...]`."
    if kind == "string_pattern_mismatch":
        proper = re.sub(r"[^A-Za-z0-9]+", "-", given).strip("-")[:100]
        return f"For example {proper}." if proper else ""
    return ""


def _default_hint(spec: type[Spec] | None, path: KeyPath) -> str:
    field = spec.model_fields.get(str(path[-1])) if spec and path else None
    if field is None or field.is_required():
        return ""
    if field.default in (None, ()):
        return "Or leave it out."
    return f"Leave it out for the default {_yaml(field.default)}."


def _yaml(value: Any) -> str:
    if isinstance(value, str):
        return value
    return f"{value:g}" if isinstance(value, float) else json.dumps(value, default=str)
