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
    """Every plugin name with the package that holds it; no plugin is imported."""
    found: dict[str, str] = {}
    for package in packages:
        path = importlib.import_module(package).__path__
        files = [info.name for info in pkgutil.iter_modules(path)]
        found.update({name: package for name in files if not name.startswith("_")})
    return dict(sorted(found.items()))


def load(name: str, packages: Sequence[str], base: type[T]) -> type[T]:
    """The class of a plugin. An error inside the plugin's own imports is let through."""
    known = names(packages)
    if name not in known:
        raise LookupError(advice(name, known))
    module = importlib.import_module(f"{known[name]}.{name}")
    found: type[T] = getattr(module, class_name(name))
    if not issubclass(found, base):
        raise TypeError(f"{module.__name__}.{found.__name__} is not a {base.__name__}")
    return found


def build(value: Any, packages: Sequence[str], base: type[S]) -> S:
    """A plugin's config from `{use: name, ...}`. For validators: raises what they may raise."""
    what = base.__name__.lower()
    if not isinstance(value, dict):
        raise mistake(f"a {what} is a map such as {{use: name}}", advice("", names(packages)))
    return named(value, packages, what, base).model_validate(value)


def named(value: dict[str, Any], packages: Sequence[str], what: str, base: type[T]) -> type[T]:
    """The class that a map's `use` names."""
    use = value.get("use")
    if not isinstance(use, str):
        message = "must be the name of a " + what if "use" in value else "is missing"
        raise _about_use(value, message, advice("", names(packages)))
    try:
        return load(use, packages, base)
    except LookupError as error:
        raise _about_use(value, f"no {what} has this name", str(error)) from None


def _about_use(value: dict[str, Any], message: str, remedy: str) -> ValidationError:
    return about("use", value.get("use", value), mistake(message, remedy))


def about(key: str, given: Any, problem: PydanticCustomError) -> ValidationError:
    """An error about one key of a map."""
    return ValidationError.from_exception_data(
        key, [{"type": problem, "loc": (key,), "input": given}]
    )


def class_name(name: str) -> str:
    return "".join(part.capitalize() for part in name.split("_"))


def unknown(name: Any, known: Iterable[str]) -> str:
    """Did you mean ...; otherwise all there is. Goes on with a sentence."""
    options = sorted(known)
    everything = f"known: {', '.join(options) or 'none yet'}"
    close = closest(name, options)
    return f"did you mean {close!r}? K{everything[1:]}" if close else everything


def closest(name: Any, options: Sequence[str]) -> str | None:
    return next(iter(difflib.get_close_matches(str(name), options, n=1)), None)


def advice(name: Any, known: Iterable[str]) -> str:
    """`unknown` as a sentence of its own."""
    text = unknown(name, known)
    return text[0].upper() + text[1:] + "."
