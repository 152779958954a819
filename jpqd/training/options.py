"""The keys of `use: train`, `use: evaluate` and `use: vocabulary`."""

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import (
    ConfigDict,
    Field,
    PlainValidator,
    SerializeAsAny,
    TypeAdapter,
    ValidationInfo,
    field_validator,
)

from jpqd.core.manifest import FolderKind
from jpqd.data.sources import is_table
from jpqd.data.texts import File, Files
from jpqd.recipe import plugins
from jpqd.recipe.contracts import Stage
from jpqd.recipe.schema import (
    Count,
    Fraction,
    Name,
    NonNegative,
    Positive,
    Share,
    Spec,
    StageId,
    Text,
    increasing,
    mistake,
)
from jpqd.recipe.task import TABLES
from jpqd.training.method import METHODS, Method

AnyMethod = Annotated[
    SerializeAsAny[Method],
    PlainValidator(lambda value: plugins.build(value, METHODS, Method)),
]


_ADAPTERS, _CHANGES = ("ia3", "lora", "qlora"), ("prune", "quantize")
"""Methods that put adapters beside weights, and those that change these weights themselves."""


def _student_layers(value: Any) -> int | tuple[int, ...]:
    if isinstance(value, list | tuple):
        return increasing(_NUMBERS.validate_python(value))
    return _COUNT.validate_python(value)


_COUNT = TypeAdapter(Count)
_NUMBERS = TypeAdapter(Annotated[tuple[Count, ...], Field(min_length=1)])
if TYPE_CHECKING:
    StudentLayers = int | tuple[int, ...]
else:
    StudentLayers = Annotated[Any, PlainValidator(_student_layers)]


class Student(Spec):
    """An earlier stage's model with fewer of its layers."""

    model_config = ConfigDict(serialize_by_alias=True)

    source: StageId = Field(alias="from")
    layers: StudentLayers
    """Their number, evenly spaced with the last one kept, or a list of them: `[1, 3, 6]`."""


class TrainOptions(Stage):
    """Trains the recipe's model, or the model of the stage that it needs."""

    makes: ClassVar[FolderKind] = "model"

    use: Literal["train"]
    needs: Annotated[tuple[StageId, ...], Field(max_length=1)] = ()
    student: Student | None = None
    """Instead of `needs`: starts from some layers of an earlier stage's model."""
    completions: StageId | None = None
    """Language models: learn what a model wrote, by a stage of `use: imitate`, instead of train."""
    epochs: NonNegative = 3.0
    batch_size: Count = 32
    """Rows for one optimizer step, over all processes together."""
    micro_batch: Count | None = None
    """Rows that pass through one process at a time; set it where memory is short."""
    learning_rate: Positive = 3.0e-5
    schedule: Literal["linear", "cosine", "constant"] = "linear"
    warmup: Fraction = 0.06
    weight_decay: NonNegative = 0.01
    max_grad_norm: Positive = 1.0
    average: Share | None = None
    """Decay of a moving average of the weights, which is what is kept. It grows with the steps as
    (1 + step) / (10 + step) up to this value."""
    dropout: Annotated[Fraction, Field(lt=1)] | None = None
    """Instead of the model's own, while this stage trains."""
    precision: Literal["auto", "f32", "bf16"] = "auto"
    """auto: bf16 where the processor computes in it, f32 elsewhere."""
    evals_per_epoch: Count = 1
    """The number of times that a checkpoint may be chosen, on `task.select_on`."""
    methods: tuple[AnyMethod, ...] = ()

    @field_validator("micro_batch")
    @classmethod
    def _micro_batch_divides(cls, micro: int | None, info: ValidationInfo) -> int | None:
        whole = info.data.get("batch_size")
        if micro and whole and whole % micro:
            raise mistake(
                f"batch_size {whole} is not a multiple of micro_batch",
                "Give a divisor of batch_size.",
            )
        return micro

    @field_validator("methods")
    @classmethod
    def _each_once(cls, methods: tuple[AnyMethod, ...]) -> tuple[AnyMethod, ...]:
        names = [method.use for method in methods]
        for name in names:
            if names.count(name) > 1:
                raise mistake(
                    f"{name!r} is listed twice", "Give the second one a stage of its own."
                )
        alone = [name for name in names if name in _ADAPTERS]
        others = [name for name in names if name in (*_CHANGES, *alone[1:])]
        if alone and others:
            raise mistake(
                f"{others[0]!r} changes what the adapters of {alone[0]!r} stand beside",
                f"Give {others[0]} a stage of its own, before or after.",
            )
        return methods

    @field_validator("student")
    @classmethod
    def _one_start(cls, student: Student | None, info: ValidationInfo) -> Student | None:
        if student and info.data.get("needs"):
            raise mistake("the stage has both `needs` and `student`", "Remove one of them.")
        return student

    def start(self) -> str | None:
        return self.student.source if self.student else super().start()

    def inputs(self) -> tuple[str, ...]:
        start = [name for name in (self.start(), self.completions) if name]
        return tuple(
            dict.fromkeys([*start, *(i for method in self.methods for i in method.inputs())])
        )

    def kinds(self) -> tuple[tuple[str, tuple[FolderKind, ...]], ...]:
        of_methods = [kinds for method in self.methods for kinds in method.kinds()]
        texts: tuple[FolderKind, ...] = ("texts",)
        written = [(self.completions, texts)] if self.completions else []
        shortened = [(self.student.source, self.needs_kind)] if self.student else []
        return (*super().kinds(), *shortened, *written, *of_methods)

    def sources(self) -> tuple[str, ...]:
        return tuple(source for method in self.methods for source in method.sources())

    def disk_bytes(self, weights_bytes: int) -> int:
        """Five checkpoints (newest two, the best of each, the one being written), the result."""
        if not self.epochs:
            return weights_bytes
        checkpoint = 3 + (self.average is not None)  # the weights, two moments, the average
        return weights_bytes * (5 * checkpoint + 1)


class EvaluateOptions(Stage):
    """Metrics of an earlier stage on one split, and its logits row by row."""

    makes: ClassVar[FolderKind] = "figures"

    use: Literal["evaluate"]
    needs: Annotated[tuple[StageId, ...], Field(min_length=1, max_length=1)]
    split: Name | None = None
    """`task.report_on` when not given."""
    batch_size: Count = 64


class VocabularyOptions(Stage):
    """Leaves out the pieces of a model's vocabulary that the task's texts do not use."""

    makes: ClassVar[FolderKind] = "model"

    use: Literal["vocabulary"]
    needs: Annotated[tuple[StageId, ...], Field(min_length=1, max_length=1)]
    min_count: Count = 1
    """The number of times that the texts use a piece that stays."""
    texts: Files = ()
    """Files of texts that count beside train's: what will be asked, a text in each line."""

    def sources(self) -> tuple[str, ...]:
        return self.texts

    def disk_bytes(self, weights_bytes: int) -> int:
        return weights_bytes


class ImitateOptions(Stage):
    """Texts that a language model writes after prompts, cleaned, for another one to learn."""

    makes: ClassVar[FolderKind] = "texts"

    use: Literal["imitate"]
    needs: Annotated[tuple[StageId, ...], Field(max_length=1)] = ()
    """A stage whose model writes."""
    prompts: File | None = None
    """A file with a prompt in each line, for the model of `needs`."""
    table: Annotated[Text | None, Field(validate_default=True)] = None
    """Instead of both: a table with `prompt` and `completion`, which another model wrote."""
    new_tokens: Count = 64
    """The longest that a text becomes."""
    temperature: NonNegative = 0.0
    """0 takes the likeliest token each time; 1 draws as the model thinks."""
    least: Annotated[Count, Field(validate_default=True)] = 8
    """The tokens below which a text is too short."""

    @field_validator("table")
    @classmethod
    def _one_source(cls, table: str | None, others: ValidationInfo) -> str | None:
        given = others.data
        if table is None and not (given.get("needs") and given.get("prompts")):
            raise mistake(
                "without a table a model has to write",
                "Give `needs` and `prompts`, or a table with prompt and completion.",
            )
        if table is not None and (given.get("needs") or given.get("prompts")):
            raise mistake("does not go with needs and prompts", "Give one or the other.")
        if table is not None and not is_table(table):
            raise mistake("is no table", f"Give a file that ends in {', '.join(TABLES)}.")
        return table

    @field_validator("new_tokens", "temperature")
    @classmethod
    def _of_a_model(cls, value: float, others: ValidationInfo) -> float:
        default = cls.model_fields[str(others.field_name)].default
        if others.data.get("table") and value != default:
            raise mistake("is for a model that writes, and a table is written", "Leave it out.")
        return value

    @field_validator("least")
    @classmethod
    def _reached(cls, least: int, others: ValidationInfo) -> int:
        if not others.data.get("table") and least > others.data.get("new_tokens", least):
            raise mistake(f"is above new_tokens {others.data['new_tokens']}", "Give less.")
        return least

    def sources(self) -> tuple[str, ...]:
        return tuple(file for file in (self.prompts, self.table) if file)
