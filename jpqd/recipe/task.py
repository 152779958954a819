"""What is learned from which data: the `model` and `task` of a recipe."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, PlainValidator, StrictStr, TypeAdapter, field_validator
from pydantic_core.core_schema import ValidationInfo

from jpqd.recipe import plugins
from jpqd.recipe.schema import Count, Fraction, Name, Share, Spec, Text, mistake

HUB_ID = re.compile(r"(?!.*\.\.)[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?(@\w[\w./-]*)?\Z", re.ASCII)
"""`owner/name` or `owner/name@revision`; two dots could lead out of the hub's cache."""
BUILTIN = "builtin:reviews"

KINDS = ("jpqd.tasks",)


class NewModel(Spec):
    """A BERT from random weights, with a WordPiece tokenizer trained on the task's own text."""

    new: Literal["bert"]
    hidden_size: Count = 128
    num_hidden_layers: Count = 2
    num_attention_heads: Annotated[Count, Field(validate_default=True)] = 2
    intermediate_size: Count = 512
    vocab_size: Count = 2000

    @field_validator("num_attention_heads")
    @classmethod
    def _divides_hidden_size(cls, heads: int, others: ValidationInfo) -> int:
        size = others.data.get("hidden_size", heads)
        if size % heads:
            raise mistake(
                f"hidden_size {size} cannot be divided among {heads} heads",
                f"Make hidden_size a multiple of {heads}, such as {-(-size // heads) * heads}.",
            )
        return heads


def _model(value: Any) -> str | NewModel:
    if isinstance(value, dict):
        return NewModel.model_validate(value)
    return _source(value)


def _source(value: Any) -> str:
    remedy = "Such as google-bert/bert-base-uncased, owner/name@revision or ./folder."
    if not isinstance(value, str) or not value.strip():
        raise mistake("must be a folder or a hub id", remedy)
    if value == BUILTIN or HUB_ID.match(value) or looks_local(value):
        return value
    raise mistake("neither a hub id nor a path that exists", remedy)


_FILES = TypeAdapter(Annotated[dict[Name, Text], Field(min_length=1)])
_SPLIT, _SHARE = TypeAdapter(Name), TypeAdapter(Share)


def _dataset(value: Any) -> str | dict[str, str]:
    if isinstance(value, dict):
        return _FILES.validate_python(value)
    return _source(value)


def _select_on(value: Any) -> str | float:
    if isinstance(value, str):
        return _SPLIT.validate_python(value)
    return _SHARE.validate_python(value)


def looks_local(value: str) -> bool:
    """A path is written as one, or it exists; everything else is a hub id."""
    if value.startswith((".", "/", "~")) or "\\" in value:
        return True
    try:
        return Path(value).exists()
    except OSError:  # longer than a file's name can be
        return False


if TYPE_CHECKING:
    ModelSource = str | NewModel
    DatasetSource = str | dict[str, str]
    Selection = str | float
else:  # pydantic writes these unions as what they are, without guessing among the members
    ModelSource = Annotated[Any, PlainValidator(_model)]
    DatasetSource = Annotated[Any, PlainValidator(_dataset)]
    Selection = Annotated[Any, PlainValidator(_select_on)]


class Task(Spec):
    """The dataset, its columns, how it is split and what is measured."""

    name: Name
    dataset: DatasetSource
    """A hub id, a folder with a file per split, or a map from split to file."""
    subset: Name | None = None
    """The configuration of a hub dataset, such as `mrpc` in `nyu-mll/glue`."""
    text: Annotated[tuple[Text, ...], Field(min_length=1, max_length=2)] = ("text",)
    label: Text = "label"
    labels: tuple[StrictStr, ...] = ()
    """Names of the classes in the order of their numbers; found in the data when not given."""
    use: Text | None = None
    """The kind of task, found in the data when not given: fractions mean regression, lists mean
    token_classification."""
    metric: (
        Literal["accuracy", "f1", "matthews", "pearson", "spearman", "precision", "recall"] | None
    ) = None
    """What chooses the checkpoint; the kind's own when not given, such as accuracy."""
    max_length: Annotated[Count, Field(ge=4)] = 128
    report_on: Name = "validation"
    """The split whose figures are reported. It is never used to choose anything."""
    holdout: Share = 0.1
    """The share cut from train for `report_on` where the data has no such split."""
    select_on: Selection = 0.05
    """What chooses a checkpoint: a share cut from train, or another split's name."""
    train_rows: Count | None = None
    """Train on a sample of this many rows, the same for every seed; all of them if not given."""
    max_unusable: Fraction = 0.01
    """The share of rows without text or label above which the data is refused."""

    @field_validator("labels")
    @classmethod
    def _two_or_more(cls, labels: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(labels)) != len(labels) or len(labels) == 1:
            raise mistake("must be two or more different names", "Or leave it out: they are found.")
        return labels

    @field_validator("select_on")
    @classmethod
    def _not_what_is_reported(cls, select_on: str | float, others: ValidationInfo) -> str | float:
        if select_on == others.data.get("report_on"):
            raise mistake(
                "is also report_on: a figure on the split that chose the checkpoint is not honest",
                "Give a share of train such as 0.05.",
            )
        return select_on


def build(value: Any) -> Task:
    """Read a task's keys, which depend on its kind. For validators: raises what they may raise."""
    if not isinstance(value, dict):
        return Task.model_validate(value)
    value = _renamed(value)
    use = value.get("use")
    if use is None:
        return Task.model_validate(value)
    kind: Any = plugins.named(value, KINDS, "task", object)
    task: Task = kind.keys.model_validate(value)
    if task.metric and task.metric not in kind.metrics:
        problem = mistake(f"does not fit {use!r}", f"Choose one of: {', '.join(kind.metrics)}.")
        raise plugins.about("metric", task.metric, problem)
    return task


def _renamed(value: dict[str, Any]) -> dict[str, Any]:
    """`kind` is what version 0.1 called `use`."""
    if "kind" in value and value.get("use") is None:
        return {("use" if key == "kind" else key): v for key, v in value.items() if key != "use"}
    return value
