"""A recipe: model, task and an ordered map of stages, checked as a whole before anything runs."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, PlainValidator, SerializeAsAny, ValidationError

from jpqd import plugins, yamlfile
from jpqd.errors import Problem, RecipeError
from jpqd.explain import explain
from jpqd.schema import Name, Positive, Seed, Spec, StageId
from jpqd.stage import METHODS, Method, Stage
from jpqd.task import ModelSource, NewModel, Task
from jpqd.yamlfile import Document, dotted

STAGES = ("jpqd.stages", "export.stages", "runtime_bench.stages")

Tracker = Literal[
    "azure_ml", "clearml", "codecarbon", "comet_ml", "dagshub", "dvclive", "flyte", "mlflow",
    "neptune", "swanlab", "tensorboard", "trackio", "wandb",
]  # fmt: skip


def _stage(value: Any) -> Stage:
    return plugins.build(value, STAGES, Stage)


def _some_stages(value: Any) -> Any:
    if isinstance(value, dict) and not value:
        raise ValueError("a recipe without stages does nothing; add one such as {use: train}")
    return value


AnyStage = Annotated[SerializeAsAny[Stage], PlainValidator(_stage)]
Trackers = Annotated[
    tuple[Tracker, ...], BeforeValidator(lambda v: (v,) if isinstance(v, str) else v)
]


class Recipe(Spec):
    """What a recipe file says. The stages run in the order in which they are written."""

    name: Name
    """The run's folder; the file's name without its ending when not given."""
    model: ModelSource
    """A folder, a hub id, or `{new: bert, ...}` for random weights."""
    task: Task
    seed: Seed = 42
    report_to: Trackers = ()
    """Trackers that `transformers` knows, such as tensorboard."""
    checkpoint_minutes: Positive = 5.0
    """How much work a kill may cost at the most. Never changes a result."""
    stages: Annotated[dict[StageId, AnyStage], BeforeValidator(_some_stages), Field(min_length=1)]


def load(path: Path, overrides: tuple[str, ...] = ()) -> Recipe:
    """Read, override, check. Every problem is reported at once."""
    document = yamlfile.read(path)
    if document.value is None and not document.problems:
        raise RecipeError([Problem(str(path), "", "the file is empty", _START)])
    if not isinstance(document.value, dict):
        got = type(document.value).__name__
        raise RecipeError([Problem(str(path), "", f"a recipe is a map, got a {got}", _START)])
    document.value.setdefault("name", path.stem)
    for override in overrides:
        _override(document, override)
    return _check(document)


_START = "Start from recipes/demo.yaml: it needs `model`, `task` and `stages`."


def _override(document: Document, override: str) -> None:
    """`stages.teacher.epochs=1`: the value is read as it would be inside the file."""
    key, equals, text = override.partition("=")
    path = tuple(int(part) if part.isdigit() else part for part in key.split("."))
    if not equals or not all(str(part) for part in path):
        problem = "expected path.to.key=value"
        raise RecipeError([Problem(f"--set {override}", "", problem, "For example --set seed=1")])
    try:
        _put(document.value, path, yamlfile.scalar(text))
    except (TypeError, IndexError, KeyError):
        problem = f"{key} cannot be set: the recipe has no such place"
        raise RecipeError([Problem(f"--set {override}", "", problem)]) from None
    for known in [line for line in document.lines if line[: len(path)] == path]:
        del document.lines[known]


def _put(value: Any, path: tuple[str | int, ...], new: Any) -> None:
    for part in path[:-1]:
        value = value.setdefault(part, {}) if isinstance(value, dict) else value[part]
    if not isinstance(value, dict | list):
        raise TypeError(value)
    place: Any = value
    place[path[-1]] = new


def _check(document: Document) -> Recipe:
    problems = list(document.problems)
    try:
        recipe = Recipe.model_validate(document.value)
    except ValidationError as error:
        specs = dict(_specs(document.value))
        problems += [explain(detail, document, specs) for detail in error.errors()]
    problems += _order_problems(document)
    if problems:
        raise RecipeError(sorted(set(problems), key=lambda p: (p.line or 0, p.path)))
    return recipe


def _specs(value: Any) -> Iterator[tuple[tuple[Any, ...], type[Spec]]]:
    """Which Spec reads which place of this recipe: what did-you-mean chooses from."""
    yield (), Recipe
    yield ("task",), Task
    yield ("model",), NewModel
    stages = value.get("stages")
    for stage, config in stages.items() if isinstance(stages, dict) else ():
        with suppress(LookupError, TypeError, AttributeError):
            yield ("stages", stage), plugins.load(config["use"], STAGES, Stage)
        with suppress(LookupError, TypeError, AttributeError):
            for index, method in enumerate(config["methods"]):
                loaded = plugins.load(method["use"], METHODS, Method)
                yield ("stages", stage, "methods", index), loaded


def _order_problems(document: Document) -> Iterator[Problem]:
    """Stages read earlier ones only. Works on the raw map, so it speaks beside other problems."""
    stages = document.value.get("stages")
    if not isinstance(stages, dict):
        return
    earlier: list[Any] = []
    for stage, config in stages.items():
        for path, name in _references(config):
            if not isinstance(name, str) or name in earlier:
                continue
            what = "itself" if name == stage else "a later stage" if name in stages else "no stage"
            yield Problem(
                document.source,
                dotted(("stages", stage, *path)),
                f"{name!r} is {what}; a stage reads earlier stages only",
                f"Earlier stages here: {', '.join(earlier) or 'none'}.",
                document.line(("stages", stage, *path)),
            )
        earlier.append(stage)


def _references(config: Any) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    if isinstance(config, dict) and isinstance(config.get("needs"), list):
        for index, name in enumerate(config["needs"]):
            yield ("needs", index), name
