"""What is learned from which data: the `model` and `task` of a recipe."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import Field, PlainValidator, StrictStr, TypeAdapter, model_validator

from jpqd.schema import Count, Fraction, Name, Share, Spec, Text

HUB_ID = re.compile(r"^[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?(@[\w./-]+)?$")
BUILTIN = "builtin:reviews"

CLASSIFICATION_METRICS = ("accuracy", "f1", "matthews")
REGRESSION_METRICS = ("pearson", "spearman")


class NewModel(Spec):
    """A BERT from random weights, with a WordPiece tokenizer trained on the task's own text."""

    new: Literal["bert"]
    hidden_size: Count = 128
    num_hidden_layers: Count = 2
    num_attention_heads: Count = 2
    intermediate_size: Count = 512
    vocab_size: Count = 2000

    @model_validator(mode="after")
    def _heads_divide(self) -> Self:
        if self.hidden_size % self.num_attention_heads:
            raise ValueError(
                f"hidden_size {self.hidden_size} cannot be divided "
                f"among {self.num_attention_heads} heads"
            )
        return self


def _model(value: Any) -> str | NewModel:
    if isinstance(value, dict):
        return NewModel.model_validate(value)
    return _source(value)


def _source(value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError("give a folder or a hub id such as google-bert/bert-base-uncased")
    if value == BUILTIN or HUB_ID.match(value) or looks_local(value):
        return value
    raise ValueError("neither a hub id (owner/name, owner/name@revision) nor a path that exists")


def _dataset(value: Any) -> str | dict[str, str]:
    if isinstance(value, dict):
        return TypeAdapter(dict[Name, Text]).validate_python(value)
    return _source(value)


def _select_on(value: Any) -> str | float:
    if isinstance(value, str):
        return TypeAdapter(Name).validate_python(value)
    return TypeAdapter(Share).validate_python(value)


def looks_local(value: str) -> bool:
    """A path is written as one, or it exists; everything else is a hub id."""
    return value.startswith((".", "/", "~")) or "\\" in value or Path(value).exists()


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
    kind: Literal["classification", "regression"] | None = None
    """Found in the data when not given: fractions mean regression."""
    metric: Literal["accuracy", "f1", "matthews", "pearson", "spearman"] | None = None
    """What chooses the checkpoint: accuracy or pearson when not given."""
    max_length: Annotated[Count, Field(ge=4)] = 128
    report_on: Name = "validation"
    """The split whose figures are reported. It is never used to choose anything."""
    holdout: Share = 0.1
    """The share cut from train for `report_on` where the data has no such split."""
    select_on: Selection = 0.05
    """What chooses a checkpoint: a share cut from train, or another split's name."""
    max_unusable: Fraction = 0.01
    """The share of rows without text or label above which the data is refused."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.select_on == self.report_on:
            raise ValueError(
                f"select_on and report_on are both {self.report_on!r}: a figure on the split "
                "that chose the checkpoint is not honest; give a share of train such as 0.05"
            )
        wrong = CLASSIFICATION_METRICS if self.kind == "regression" else REGRESSION_METRICS
        if self.kind is not None and self.metric in wrong:
            raise ValueError(f"metric {self.metric!r} does not fit kind {self.kind!r}")
        if len(set(self.labels)) != len(self.labels) or len(self.labels) == 1:
            raise ValueError(f"labels must be two or more different names, got {self.labels}")
        return self
