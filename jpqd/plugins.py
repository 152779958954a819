"""A plugin is a file: `use: prune` is `prune.py` in one of the packages, class `Prune`."""

import difflib
import importlib
import pkgutil
from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

from jpqd.schema import Spec

T = TypeVar("T")
S = TypeVar("S", bound=Spec)


def names(packages: Sequence[str]) -> dict[str, str]:
    """Every plugin name with the package that holds it; no plugin is imported."""
    found: dict[str, str] = {}
    for package in packages:
        path = importlib.import_module(package).__path__
        found.update({info.name: package for info in pkgutil.iter_modules(path)})
    return dict(sorted(found.items()))


def load(name: str, packages: Sequence[str], base: type[T]) -> type[T]:
    """The class of a plugin. An error inside the plugin's own imports is let through."""
    known = names(packages)
    if name not in known:
        raise LookupError(unknown(name, known))
    module = importlib.import_module(f"{known[name]}.{name}")
    found: type[T] = getattr(module, class_name(name))
    if not issubclass(found, base):
        raise TypeError(f"{module.__name__}.{found.__name__} is not a {base.__name__}")
    return found


def build(value: Any, packages: Sequence[str], base: type[S]) -> S:
    """A plugin's config from `{use: name, ...}`. For validators: mistakes are ValueErrors."""
    what = base.__name__.lower()
    if not isinstance(value, dict):
        raise ValueError(f"a {what} is a map such as {{use: name}}")
    if "use" not in value:
        raise ValueError(f"`use` is missing; {unknown('', names(packages))}")
    try:
        kind = load(value["use"], packages, base)
    except LookupError as error:
        raise ValueError(f"no {what} is called {value['use']!r}; {error}") from None
    return kind.model_validate(value)


def class_name(name: str) -> str:
    return "".join(part.capitalize() for part in name.split("_"))


def unknown(name: Any, known: Iterable[str]) -> str:
    """Did you mean ...; otherwise all there is."""
    options = sorted(known)
    close = difflib.get_close_matches(str(name), options, n=1)
    if close:
        return f"did you mean {close[0]!r}? Known: {', '.join(options)}"
    return f"known: {', '.join(options) or 'none yet'}"
