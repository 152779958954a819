"""A recipe: model, task and an ordered map of stages, checked as a whole before anything runs."""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from itertools import takewhile
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PlainValidator,
    SerializeAsAny,
    ValidationError,
)

from jpqd.core.errors import Problem, RecipeError, UserError
from jpqd.core.names import RECIPE
from jpqd.recipe import plugins, yamlfile
from jpqd.recipe.contracts import Stage
from jpqd.recipe.explain import explain, short_text
from jpqd.recipe.schema import Name, Positive, Seed, Spec, StageId, Threads, mistake
from jpqd.recipe.task import KINDS, ModelSource, NewModel, Task, build
from jpqd.recipe.yamlfile import Document, KeyPath, dotted

STAGES = ("jpqd.stages", "export.stages", "runtime_bench.stages")
_METHODS = ("jpqd.methods",)

Tracker = Literal[
    "azure_ml", "clearml", "codecarbon", "comet_ml", "dagshub", "dvclive", "flyte", "kubeflow",
    "mlflow", "neptune", "swanlab", "tensorboard", "trackio", "wandb",
]  # fmt: skip


def _stage(value: Any) -> Stage:
    return plugins.build(value, STAGES, Stage)


def _different(seeds: tuple[int, ...]) -> tuple[int, ...]:
    if len(set(seeds)) != len(seeds):
        raise mistake("a seed is listed twice", "List each seed once.")
    return seeds


def _some_stages(value: Any) -> Any:
    if isinstance(value, dict) and not value:
        raise mistake(
            "a recipe without stages does nothing", "Add one, such as NAME: {use: train}."
        )
    return value


AnyTask = Annotated[SerializeAsAny[Task], PlainValidator(build)]
AnyStage = Annotated[SerializeAsAny[Stage], PlainValidator(_stage)]
Seeds = Annotated[tuple[Seed, ...], Field(min_length=1), AfterValidator(_different)]
Trackers = Annotated[
    tuple[Tracker, ...], BeforeValidator(lambda v: (v,) if isinstance(v, str) else v)
]


class Recipe(Spec):
    """The contents of a recipe file. The stages run in the order in which they are written."""

    name: Name
    """The name of the run's folder; by default the file's name without its suffix."""
    model: ModelSource
    """A folder, a hub id, or `{new: bert, ...}` for random weights."""
    task: AnyTask
    seed: Seed = 42
    seeds: Seeds | None = None
    """Instead of `seed`: a run for each of these, called `<name>_seed<seed>`."""
    report_to: Trackers = ()
    """Trackers that `transformers` knows, such as tensorboard."""
    checkpoint_minutes: Positive = 5.0
    """The most work, in minutes, that a kill may lose. It never changes a result."""
    threads: Threads | None = None
    """Threads that compute; by default one for each CPU that the process may use."""
    stages: Annotated[dict[StageId, AnyStage], BeforeValidator(_some_stages)]

    def of_each_seed(self) -> list["Recipe"]:
        """Return the recipe of every run: this one, or one for each of its seeds."""
        return [
            self.model_copy(update={"name": f"{self.name}_seed{seed}", "seed": seed, "seeds": None})
            for seed in self.seeds or ()
        ] or [self]


def load(path: Path, overrides: tuple[str, ...] = ()) -> Recipe:
    """Read a recipe, apply overrides and check it. Report every problem at once."""
    document = yamlfile.read(path)
    if not isinstance(document.value, dict):
        raise RecipeError(document.problems or [_no_recipe(document)])
    if "name" not in document.value:
        document.value["name"] = path.stem
        document.places["name",] = (document.source, None)
    for override in overrides:
        _override(document, override)
    return _check(document)


def _no_recipe(document: Document) -> Problem:
    got = document.value
    message = "the file is empty" if got is None else f"a recipe is a map (got {short_text(got)})"
    remedy = "Start from recipes/demo.yaml: it needs `model`, `task` and `stages`."
    return Problem(document.source, "", message, remedy)


def _override(document: Document, override: str) -> None:
    """Apply an override such as `stages.teacher.epochs=1`; read its value as YAML."""
    key, equals, text = override.partition("=")
    keys = key.split(".")
    source = f"--set {override if override.isprintable() else repr(override)}"[:100]
    if not equals or not all(keys) or len(keys) > yamlfile.MAX_DEPTH:
        problem = Problem(source, "", "expected path.to.key=value", "For example --set seed=1")
        document.problems.append(problem)
        return
    try:
        path = _put(document.value, keys, yamlfile.scalar(text))
    except LookupError as error:
        document.problems.append(Problem(source, "", str(error.args[0]), _NO_PLACE))
    except RecipeError as error:
        document.problems += [replace(p, source=source, line=None) for p in error.problems]
    else:
        _record_source(source, path, document)


_NO_PLACE = "Name a key of a map, or the number of an item that a list has, counted from 0."


def _put(value: Any, keys: list[str], new: Any) -> KeyPath:
    """Set a value deep inside, adding missing maps. Return its path, with numbers for items."""
    path: list[str | int] = []
    for key in keys[:-1]:
        path.append(_place_in(value, key))
        _refuse_slip(value, key)
        value = value.setdefault(key, {}) if isinstance(value, dict) else value[path[-1]]
    path.append(_place_in(value, keys[-1]))
    value[path[-1]] = new
    return tuple(path)


def _refuse_slip(value: Any, key: str) -> None:
    """Refuse a new key that resembles one that is there: it would start a stage of its own."""
    known = [*map(str, value)] if isinstance(value, dict) and key not in value else []
    if close := plugins.closest(key, known):
        raise LookupError(f"there is no {short_text(key)}; did you mean {close!r}?")


def of_run(given: dict[str, Any], run: Path) -> Recipe:
    """Read what a run wrote of its recipe, maybe on another machine or by another version."""
    try:
        return Recipe.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        place = dotted(tuple(first["loc"]))
        raise UserError(
            f"{run / RECIPE}: {place}: {first['msg']}. Correct its recipe, and run it again."
        ) from None


def _place_in(value: Any, key: str) -> str | int:
    if isinstance(value, dict):
        return key
    items = {str(index): index for index in range(len(value) if isinstance(value, list) else 0)}
    if key not in items:
        raise LookupError(f"there is no place {short_text(key)} in {short_text(value)}")
    return items[key]


def _record_source(source: str, path: KeyPath, document: Document) -> None:
    """Record that the values at and below a path come from an option, not from the file."""
    for known in [known for known in document.places if known[: len(path)] == path]:
        del document.places[known]
    for depth in range(1, len(path) + 1):
        document.places.setdefault(path[:depth], (source, None))


def _check(document: Document) -> Recipe:
    problems = list(document.problems)
    unreadable = {problem.path for problem in problems}
    problems += [*_order_problems(document), *_seed_problems(document)]
    try:
        recipe = Recipe.model_validate(document.value)
    except ValidationError as error:
        specs = dict(_specs(document.value))
        explained = [explain(detail, document, specs) for detail in error.errors()]
        problems += [problem for problem in explained if problem.path not in unreadable]
    else:
        problems += _input_problems(recipe, document)
    if problems:
        raise RecipeError(sorted(set(problems), key=lambda p: (p.line or 0, p.path, p.message)))
    return recipe


def _specs(value: Any) -> Iterator[tuple[KeyPath, type[Spec]]]:
    """Find the Spec that reads each place of this recipe; its keys serve as suggestions."""
    yield (), Recipe
    yield ("task",), _keys(value.get("task"))
    yield ("model",), NewModel
    stages = value.get("stages")
    for stage, config in stages.items() if isinstance(stages, dict) else ():
        with suppress(LookupError, TypeError, AttributeError):
            spec = plugins.load(config["use"], STAGES, Stage)
            yield from _inner_specs(spec, config, ("stages", stage))


def _inner_specs(
    spec: type[Spec], value: Any, path: KeyPath
) -> Iterator[tuple[KeyPath, type[Spec]]]:
    """Find the Spec of this place, and those below it."""
    yield path, spec
    for index, method in enumerate(value.get("methods") or ()):
        with suppress(LookupError, TypeError, AttributeError):
            yield (*path, "methods", index), plugins.load(method["use"], _METHODS, Spec)
    for name, field in spec.model_fields.items():
        for kind in (field.annotation, *get_args(field.annotation)):
            if isinstance(kind, type) and issubclass(kind, Spec) and name in value:
                with suppress(TypeError, AttributeError):
                    yield from _inner_specs(kind, value[name], (*path, name))


def _keys(task: Any) -> type[Spec]:
    with suppress(LookupError, TypeError, AttributeError):
        keys: type[Spec] = getattr(plugins.load(task["use"], KINDS, object), "keys")  # noqa: B009
        return keys
    return Task


def _seed_problems(document: Document) -> Iterator[Problem]:
    if document.value.get("seeds") is not None and "seed" in document.value:
        remedy = "Keep one of them; --set seeds=[7] runs one seed of a recipe with several."
        yield document.problem(("seed",), "is given beside `seeds`", remedy)


def _order_problems(document: Document) -> Iterator[Problem]:
    """Find stages that need later ones. The raw map shows them beside other problems."""
    stages = document.value.get("stages")
    for stage, config in stages.items() if isinstance(stages, dict) else ():
        needs = config.get("needs") if isinstance(config, dict) else None
        for index, name in enumerate(needs if isinstance(needs, list) else ()):
            if isinstance(name, str) and name not in _before(stage, stages):
                yield _not_earlier(document, name, ("stages", stage, "needs", index))


def _input_problems(recipe: Recipe, document: Document) -> Iterator[Problem]:
    """Find unknown stages that methods refer to, such as a teacher, in a valid recipe."""
    for stage, config in recipe.stages.items():
        raw = document.value["stages"][stage]
        for name in config.inputs():
            if name not in _before(stage, recipe.stages):
                path = next(_paths_to(name, raw), ())
                yield _not_earlier(document, name, ("stages", stage, *path))
        yield from _kind_problems(recipe, document, stage)


def _kind_problems(recipe: Recipe, document: Document, stage: str) -> Iterator[Problem]:
    """Find stages that need a stage of the wrong kind, such as an evaluation for its model."""
    before = _before(stage, recipe.stages)
    for name, kinds in recipe.stages[stage].kinds():
        needed = recipe.stages[name] if name in before else None
        if needed is not None and needed.makes not in kinds:
            wanted = " or ".join(_LEFT[kind] for kind in kinds)
            message = (
                f"{short_text(name)} is a stage of `use: {needed.use}`, which makes no {wanted}"
            )
            makers = [other for other in before if recipe.stages[other].makes in kinds]
            remedy = f"Stages that do: {', '.join(makers) or 'none before this one'}."
            path = next(_paths_to(name, document.value["stages"][stage]), ())
            yield document.problem(("stages", stage, *path), message, remedy)


_LEFT = {
    "model": "model", "ir": "IR", "bench": "benchmark", "figures": "figures",
    "table": "latency table", "plan": "plan", "worth": "advice", "texts": "texts",
}  # fmt: skip


def _before(stage: str, stages: Mapping[str, Any]) -> list[str]:
    return list(takewhile(lambda other: other != stage, stages))


def _not_earlier(document: Document, name: str, path: KeyPath) -> Problem:
    stages = document.value["stages"]
    stage = str(path[1])
    what = "itself" if name == stage else "a later stage" if name in stages else "no stage"
    message = f"{short_text(name)} is {what}; a stage reads earlier stages only"
    earlier = ", ".join(dotted((other,)) for other in _before(stage, stages))
    return document.problem(path, message, f"Earlier stages here: {earlier or 'none'}.")


def _paths_to(wanted: str, value: Any) -> Iterator[KeyPath]:
    """Find the places inside a stage at which another stage's name is written."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in items:
        if inner == wanted and key != "use":
            yield (key,)
        elif isinstance(inner, dict | list):
            yield from ((key, *rest) for rest in _paths_to(wanted, inner))
