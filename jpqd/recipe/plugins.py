"""A plugin is a file: `use: prune` is `prune.py` in one of the packages, class `Prune`."""

import difflib
import importlib
import pkgutil
from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

from pydantic import ValidationError
from pydantic_core import PydanticCustomError

from jpqd.recipe.schema import Spec, mistake

T = TypeVar("T")
S = TypeVar("S", bound=Spec)


def names(packages: Sequence[str]) -> dict[str, str]:
    """Map every plugin's name to the package that holds it, without importing plugins."""
    packages_of: dict[str, str] = {}
    for package in packages:
        path = importlib.import_module(package).__path__
        files = [info.name for info in pkgutil.iter_modules(path)]
        packages_of.update({name: package for name in files if not name.startswith("_")})
    return dict(sorted(packages_of.items()))


def load(name: str, packages: Sequence[str], base: type[T]) -> type[T]:
    """Import the class of a plugin. Errors of the plugin's own imports pass through."""
    known = names(packages)
    if name not in known:
        raise LookupError(advice(name, known))
    module = importlib.import_module(f"{known[name]}.{name}")
    plugin: type[T] = getattr(module, class_name(name))
    if not issubclass(plugin, base):
        raise TypeError(f"{module.__name__}.{plugin.__name__} is not a {base.__name__}")
    return plugin


def build(value: Any, packages: Sequence[str], base: type[S]) -> S:
    """Build a plugin from `{use: name, ...}`; raise only errors that a validator may raise."""
    what = base.__name__.lower()
    if not isinstance(value, dict):
        raise mistake(f"a {what} is a map such as {{use: name}}", advice("", names(packages)))
    return load_named(value, packages, what, base).model_validate(value)


def load_named(value: dict[str, Any], packages: Sequence[str], what: str, base: type[T]) -> type[T]:
    """Load the class that a map's `use` names."""
    use = value.get("use")
    if not isinstance(use, str):
        message = "must be the name of a " + what if "use" in value else "is missing"
        raise _about_use(value, message, advice("", names(packages)))
    try:
        return load(use, packages, base)
    except LookupError as error:
        raise _about_use(value, f"no {what} has this name", str(error)) from None


def _about_use(value: dict[str, Any], message: str, remedy: str) -> ValidationError:
    return key_error("use", value.get("use", value), mistake(message, remedy))


def key_error(key: str, given: Any, problem: PydanticCustomError) -> ValidationError:
    """Return an error about one key of a map."""
    return ValidationError.from_exception_data(
        key, [{"type": problem, "loc": (key,), "input": given}]
    )


def class_name(name: str) -> str:
    return "".join(part.capitalize() for part in name.split("_"))


def unknown(name: Any, known: Iterable[str]) -> str:
    """Return the end of a sentence: "did you mean ...?" or all known names."""
    options = sorted(known)
    everything = f"known: {', '.join(options) or 'none yet'}"
    close = closest(name, options)
    return f"did you mean {close!r}? K{everything[1:]}" if close else everything


def closest(name: Any, options: Sequence[str]) -> str | None:
    return next(iter(difflib.get_close_matches(str(name), options, n=1)), None)


def advice(name: Any, known: Iterable[str]) -> str:
    """Return the text of `unknown` as a complete sentence."""
    text = unknown(name, known)
    return text[0].upper() + text[1:] + "."
