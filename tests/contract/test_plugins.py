"""Every plugin file keeps the contract: its name, its words, its JSON, and a cheap import."""

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any, Literal, get_args, get_origin

import pytest
from pydantic import ValidationError

from jpqd.recipe import plugins
from jpqd.recipe.contracts import Stage
from jpqd.recipe.recipes import STAGES
from jpqd.recipe.schema import Spec
from jpqd.training.method import METHODS, Method

PLUGINS = [
    *((name, STAGES, Stage) for name in plugins.names(STAGES)),
    *((name, METHODS, Method) for name in plugins.names(METHODS)),
]
STAGES_IN = ("needs", "teacher", "plan", "advice", "completions", "beside")
HEAVY = ["torch", "transformers", "datasets", "openvino", "nncf", "optimum", "numpy"]
CANDIDATES: list[Any] = [
    ["teacher"], ["teacher", "table"], "teacher", 0.5, 2, {}, {"speedup": 2.0}, "table.csv",
]  # fmt: skip

every_plugin = pytest.mark.parametrize(("name", "packages", "base"), PLUGINS)


def test_there_are_plugins() -> None:
    assert {"train", "evaluate"} <= set(plugins.names(STAGES))


def smallest(kind: type[Spec], name: str) -> Any:
    """The plugin with its defaults; what it cannot do without gets the first value that fits."""
    config: dict[str, Any] = {}
    while field := next(wrong(kind, name, **config), None):
        fitting = (v for v in CANDIDATES if field not in wrong(kind, name, **config, **{field: v}))
        config[field] = next(fitting)
    return kind.model_validate({"use": name, **config})


def wrong(kind: type[Spec], name: str, **config: Any) -> Iterator[Any]:
    try:
        kind.model_validate({"use": name, **config})
    except ValidationError as error:
        yield from (detail["loc"][0] for detail in error.errors() if detail["loc"])


@every_plugin
def test_use_is_the_name_of_the_file(name: str, packages: tuple[str, ...], base: Any) -> None:
    annotation = plugins.load(name, packages, base).model_fields["use"].annotation
    assert get_origin(annotation) is Literal
    assert get_args(annotation) == (name,)


@every_plugin
def test_the_class_says_what_it_does(name: str, packages: tuple[str, ...], base: Any) -> None:
    kind = plugins.load(name, packages, base)
    assert (kind.__doc__ or "").strip()
    assert kind.__doc__ != base.__doc__


@every_plugin
def test_the_defaults_survive_json(name: str, packages: tuple[str, ...], base: Any) -> None:
    kind = plugins.load(name, packages, base)
    plugin = smallest(kind, name)
    assert kind.model_validate(json.loads(json.dumps(plugin.plain()))) == plugin


@every_plugin
def test_an_unknown_key_is_refused(name: str, packages: tuple[str, ...], base: Any) -> None:
    kind = plugins.load(name, packages, base)
    assert "trust_remote_code" in wrong(kind, name, trust_remote_code=True)


@every_plugin
def test_what_is_read_is_named(name: str, packages: tuple[str, ...], base: Any) -> None:
    plugin = smallest(plugins.load(name, packages, base), name)
    given = [getattr(plugin, key, None) for key in STAGES_IN]
    named = {stage for value in given for stage in (value if isinstance(value, tuple) else [value])}
    assert {*plugin.inputs()} == named - {None}


def test_no_plugin_imports_a_heavy_library() -> None:
    """One process each would cost seconds; the message names the plugin all the same."""
    modules = [f"{plugins.names(packages)[name]}.{name}" for name, packages, _ in PLUGINS]
    script = (
        "import importlib, json, sys\n"
        "for module in json.loads(sys.argv[1]):\n"
        "    importlib.import_module(module)\n"
        "    found = [name for name in json.loads(sys.argv[2]) if name in sys.modules]\n"
        "    assert not found, f'{module} imports {found}'\n"
        "print(len(json.loads(sys.argv[1])))\n"
    )
    arguments = [sys.executable, "-c", script, json.dumps(modules), json.dumps(HEAVY)]
    result = subprocess.run(arguments, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert int(result.stdout) == len(modules) > 0
