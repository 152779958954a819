"""The `model` and `task` of a recipe: the start of training, and its data."""

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
TABLES = (".csv", ".tsv", ".jsonl", ".json", ".parquet", ".conll")
TEXTS = (".txt",)
FILES = (*TABLES, *TEXTS)

KINDS = ("jpqd.tasks",)


class NewModel(Spec):
    """A model from random weights, with a tokenizer trained on the task's own text."""

    new: Literal["bert", "qwen3"]
    """bert, with a WordPiece tokenizer; qwen3, a decoder, with byte-pair encoding."""
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
    raise mistake("is neither a hub id nor a path that exists", remedy)


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
    """Return whether a source is a path: written as one, or there. Otherwise it is a hub id."""
    try:
        return is_path(value) or Path(value).exists()
    except OSError:  # longer than a file's name can be
        return False


def is_path(value: str) -> bool:
    """Return whether a text is written as a path, whatever is there."""
    is_written_so = value.startswith((".", "/", "~")) or "\\" in value
    return is_written_so or value.lower().endswith(FILES) or _is_deep(value)


def _is_deep(value: str) -> bool:
    """Return whether more than an owner and a name stand before a revision."""
    return ".." not in value and re.fullmatch(r"[^@/]+(/[^@/]+){2,}", value) is not None


if TYPE_CHECKING:
    ModelSource = str | NewModel
    DatasetSource = str | dict[str, str]
    Selection = str | float
else:  # pydantic writes these unions as what they are, without guessing among the members
    ModelSource = Annotated[Any, PlainValidator(_model)]
    DatasetSource = Annotated[Any, PlainValidator(_dataset)]
    Selection = Annotated[Any, PlainValidator(_select_on)]


class Task(Spec):
    """The data: the dataset, its columns, its splits and the metric."""

    name: Name
    dataset: DatasetSource
    """A hub id, a folder with a file per split, or a map from split to file."""
    subset: Name | None = None
    """The configuration of a hub dataset, such as `mrpc` in `nyu-mll/glue`."""
    text: Annotated[tuple[Text, ...], Field(min_length=1, max_length=2)] = ("text",)
    label: Text = "label"
    labels: tuple[StrictStr, ...] = ()
    """The names of the classes in the order of their numbers; by default read from the data."""
    use: Text | None = None
    """The kind of task. By default the data decides: fractions mean regression, lists mean
    token_classification.
    """
    metric: Text | None = None
    """The metric that chooses the checkpoint; the default depends on the kind, such as accuracy."""
    max_length: Annotated[Count, Field(ge=4)] = 128
    report_on: Name = "validation"
    """The split whose figures are reported. It is never used to choose anything."""
    holdout: Share = 0.1
    """The share of train that becomes `report_on` where the data has no such split."""
    select_on: Selection = 0.05
    """The rows that choose a checkpoint: a share cut from train, or the name of a split."""
    train_rows: Count | None = None
    """The size of a sample of train, the same for every seed; by default all rows."""
    max_unusable: Fraction = 0.01
    """The share of rows without text or label above which the data is refused."""

    @field_validator("metric")
    @classmethod
    def _known(cls, metric: str | None) -> str | None:
        """Refuse unknown metrics; `build` or the data refuses those that do not fit the kind."""
        known = sorted({name for kind in kinds() for name in kind.metrics})
        if metric is not None and metric not in known:
            raise mistake("no kind of task has this metric", plugins.advice(metric, known))
        return metric

    @field_validator("labels")
    @classmethod
    def _two_or_more(cls, labels: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(labels)) != len(labels) or len(labels) == 1:
            raise mistake(
                "must be two or more different names",
                "Or leave it out: jpqd reads them from the data.",
            )
        return labels

    @field_validator("select_on")
    @classmethod
    def _not_what_is_reported(cls, select_on: str | float, others: ValidationInfo) -> str | float:
        if select_on == others.data.get("report_on"):
            raise mistake(
                "is also report_on: figures on the split that chose the checkpoint are too good",
                "Give a share of train, such as 0.05, or another split.",
            )
        return select_on


def kinds() -> list[Any]:
    """Return the class of every kind of task."""
    return [plugins.load(name, KINDS, object) for name in plugins.names(KINDS)]


def build(value: Any) -> Task:
    """Read a task with the keys of its kind; raise only errors that a validator may raise."""
    if not isinstance(value, dict):
        return Task.model_validate(value)
    value = _renamed(value)
    use = value.get("use")
    if use is None:
        return Task.model_validate(value)
    kind: Any = plugins.load_named(value, KINDS, "task", object)
    task: Task = kind.keys.model_validate(value)
    if task.metric and task.metric not in kind.metrics:
        problem = mistake(f"does not fit use: {use}", f"Choose one of: {', '.join(kind.metrics)}.")
        raise plugins.key_error("metric", task.metric, problem)
    if task.labels and (kind.is_number or kind.vectors or kind.rows_are_text):
        problem = mistake(f"use: {use} has no classes to name", "Leave labels out.")
        raise plugins.key_error("labels", task.labels, problem)
    return task


def _renamed(value: dict[str, Any]) -> dict[str, Any]:
    """Rename the key `kind` of version 0.1 to `use`."""
    if "kind" in value and value.get("use") is None:
        return {("use" if key == "kind" else key): v for key, v in value.items() if key != "use"}
    return value
