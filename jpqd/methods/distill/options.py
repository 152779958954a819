"""The keys of `use: distill`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, ValidationInfo, field_validator

from jpqd.core.manifest import FolderKind
from jpqd.data.sources import is_table
from jpqd.data.texts import Files
from jpqd.recipe.schema import Count, Fraction, NonNegative, Positive, Text, is_stage, mistake
from jpqd.recipe.task import HUB_ID, TABLES, looks_local
from jpqd.training.method import Method


class Options(Method):
    """Trains towards a teacher, with the task's own loss in the share that `weight` leaves."""

    use: Literal["distill"]
    predictions: Text | None = None
    """Instead of a teacher, a table of what it said: a row for every row of train, in its order, a
    column for every class with its probability or its logit (regression: the label's column)."""
    teacher: Annotated[Text | None, Field(validate_default=True)] = None
    """An earlier stage's name, a folder written as a path, or a hub id with its owner."""
    temperature: Positive = 2.0
    """Softens what both predict. Without meaning for regression."""
    weight: Fraction = 0.9
    """The share of the teacher's predictions in the loss; the task's labels have the rest."""
    texts: Files | None = None
    """Files of texts without labels, one in each line, which the teacher labels: more rows of
    train. With `weight: 1.0`, as the task's own loss needs labels."""
    augment: Annotated[Fraction, Field(lt=1)] = 0.0
    """The share of tokens that are exchanged for others of the batch before both read the text:
    more to learn than what a teacher says of its own train."""
    variants: Count | None = None
    """The number of changed copies of each text, the same in all epochs and stages, so that the
    teacher reads them once; by default a new copy each time, and the teacher beside the student."""
    top: Count | None = None
    """The number of likeliest tokens that are kept of each answer of a language model, so that it
    is asked once; by default it answers in every step, with all tokens."""
    hidden: NonNegative = 0.0
    """The weight of hidden states of each pair of layers, as their mean squared difference."""
    attention: NonNegative = 0.0
    """The weight of the attention of each pair of layers, as the divergence of its mean head."""
    layers: tuple[Count, ...] = ()
    """The teacher's layer for each of the student's, counted from 1; evenly spaced if not given."""

    @field_validator("predictions")
    @classmethod
    def _table(cls, predictions: str | None) -> str | None:
        if predictions is not None and not is_table(predictions):
            raise mistake("is no table", f"Give a file that ends in one of {', '.join(TABLES)}.")
        return predictions

    @field_validator("teacher")
    @classmethod
    def _one_teacher(cls, teacher: str | None, others: ValidationInfo) -> str | None:
        if (teacher is None) == (others.data.get("predictions") is None):
            raise mistake("the method takes either `teacher` or `predictions`", "Give one of them.")
        if teacher is None or is_stage(teacher) or HUB_ID.match(teacher) or looks_local(teacher):
            return teacher
        remedy = "Such as dense, ./folder or textattack/bert-base-uncased-SST-2."
        raise mistake("neither a stage's name nor a path that exists nor a hub id", remedy)

    @field_validator("texts")
    @classmethod
    def _unlabelled(cls, files: Files | None, others: ValidationInfo) -> Files | None:
        if files and others.data.get("weight") != 1:
            raise mistake("have no labels for the task's own loss", "Set weight: 1.0.")
        return files

    @field_validator("variants")
    @classmethod
    def _changed(cls, variants: int | None, others: ValidationInfo) -> int | None:
        if variants and not others.data.get("augment"):
            raise mistake("are copies in which tokens are exchanged", "Give augment, such as 0.15.")
        return variants

    @field_validator("top")
    @classmethod
    def _of_the_text_itself(cls, top: int | None, others: ValidationInfo) -> int | None:
        if top and others.data.get("augment"):
            raise mistake("are of the text as it is, and augment changes it", "Leave one out.")
        return top

    @field_validator("hidden", "attention")
    @classmethod
    def _beside_the_student(cls, weight: float, others: ValidationInfo) -> float:
        for name in ("variants", "top"):
            if weight and others.data.get(name):
                raise mistake("needs the teacher beside the student in every step",
                              f"Leave {name} out.")  # fmt: skip
        return weight

    @field_validator("texts", "augment", "top", "hidden", "attention")
    @classmethod
    def _needs_a_teacher(cls, weight: Any, others: ValidationInfo) -> Any:
        if weight and others.data.get("predictions") is not None:
            raise mistake("needs a teacher that can be asked, and `predictions` is a table of it",
                          "Leave it out, or give `teacher`.")  # fmt: skip
        return weight

    @field_validator("layers")
    @classmethod
    def _of_what_is_inside(cls, layers: Any, others: ValidationInfo) -> Any:
        inside = [others.data.get(name, 1.0) for name in ("hidden", "attention")]
        if layers and not any(inside):
            raise mistake("nothing reads them", "Give hidden or attention, or leave layers out.")
        return layers

    def inputs(self) -> tuple[str, ...]:
        return (self.teacher,) if self.teacher and is_stage(self.teacher) else ()

    def kinds(self) -> tuple[tuple[str, tuple[FolderKind, ...]], ...]:
        return tuple((name, ("model",)) for name in self.inputs())

    def sources(self) -> tuple[str, ...]:
        given = self.predictions or self.teacher
        model = () if given is None or self.inputs() else (given,)
        return (*model, *self.more_texts())

    def more_texts(self) -> tuple[str, ...]:
        return self.texts or ()
