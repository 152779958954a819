"""The manifest of a sealed folder: what it holds and how it was made."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, TypeAdapter, field_validator, model_validator

from jpqd.core import environment
from jpqd.core.names import FUSED_FILES, IR_BIN, IR_XML, WEIGHTS

FolderKind = Literal["model", "ir", "bench", "figures", "table", "plan", "worth", "texts"]
"""The content of a folder: a model, an IR, a benchmark, or figures of another folder's model."""
_KINDS: dict[str, FolderKind] = {
    "train": "model", "ov_ir": "ir", "bench": "bench", "evaluate": "figures"
}  # fmt: skip
"""The kind of folder for each stage of version 0.1, which did not write it."""


class FileEntry(BaseModel):
    sha256: str
    bytes: int


_FIGURE = TypeAdapter(float | dict[str, Any] | None)
"""A number, or the figures of the PyTorch model."""
_INTERVAL = TypeAdapter(tuple[float, float] | tuple[None, None] | None)


class TrainFacts(BaseModel):
    """The cost of a training."""

    steps: int = 0
    best_step: int | None = None
    samples_per_second: float = 0
    training_seconds: float = 0
    precision: str = ""


class CheckFacts(BaseModel):
    """The comparison of one IR with its model."""

    rows: int = 0
    same: float = 0
    largest_difference: float = 0
    mean_difference: float = 0
    matmuls: dict[str, int] = {}


class DataFacts(BaseModel):
    """The rows of each split, and the shares of texts that were cut or not known."""

    rows: dict[str, dict[str, int]] = {}
    truncated: dict[str, float] = {}
    unknown: dict[str, float] = {}


_CHECKS = TypeAdapter(dict[str, CheckFacts] | None)


class Machine(BaseModel):
    """The versions of packages with which a stage was made."""

    packages: dict[str, str | None] = {}


class Made(BaseModel):
    """The settings of a stage, and the fingerprints of what it was made of."""

    stage: dict[str, Any] = {}
    parents: dict[str, str] = {}


class DenseFacts(BaseModel):
    """The size of a model before anything was pruned."""

    encoder_weights: int
    gflops_128: float


class ModelFacts(BaseModel):
    """The size of a model. The encoder's size is known for families that can be pruned."""

    model_config = ConfigDict(protected_namespaces=())

    parameters: int
    precision: Literal["FP32", "INT8", "INT4", "NF4", "CB4", "MXFP4"]
    encoder_weights: int | None = None
    encoder_share: float | None = None
    """The share of the dense encoder's weights that is left."""
    nonzero_share: float | None = None
    gflops_128: float | None = None
    """The operations for one text of 128 tokens."""
    dense: DenseFacts | None = None
    layers: list[tuple[int, int]] = []
    """Heads and neurons of every layer."""


class Manifest(BaseModel):
    """The manifest of a sealed folder."""

    format: int = 2
    """1 where version 0.1 wrote it, which did not seal the manifest itself."""
    stage: str
    use: str
    kind: FolderKind
    fingerprint: str
    """The hash of `inputs`: the stage runs again only when it changes."""
    inputs: dict[str, Any]
    metrics: dict[str, Any]
    seconds: float
    created: str
    environment: dict[str, Any]
    files: dict[str, FileEntry] = {}

    @field_validator("metrics")
    @classmethod
    def _readable(cls, metrics: dict[str, Any]) -> dict[str, Any]:
        """Refuse figures of another kind than those that are written: everything reads them."""
        if isinstance(metrics.get("model"), dict):
            ModelFacts.model_validate(metrics["model"])
        DataFacts.model_validate(metrics.get("data") or {})
        TrainFacts.model_validate(metrics.get("train") or {})
        _CHECKS.validate_python(metrics.get("check"))
        for figures in metrics.values():
            if isinstance(figures, dict) and "n" in figures:
                for figure, value in figures.items():
                    kind = _INTERVAL if figure.endswith("_95") else _FIGURE
                    kind.validate_python(value)
        return metrics

    @field_validator("environment")
    @classmethod
    def _known(cls, environment: dict[str, Any]) -> dict[str, Any]:
        Machine.model_validate(environment)
        return environment

    @field_validator("inputs")
    @classmethod
    def _made(cls, inputs: dict[str, Any]) -> dict[str, Any]:
        Made.model_validate(inputs)
        return inputs

    @field_validator("files")
    @classmethod
    def _inside(cls, files: dict[str, FileEntry]) -> dict[str, FileEntry]:
        """Refuse a name that leads out of the folder."""
        for name in files:
            if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
                raise ValueError(f"{name!r} leads out of the folder")
        return files

    @model_validator(mode="before")
    @classmethod
    def _kind_of_old(cls, value: Any) -> Any:
        if isinstance(value, dict) and "kind" not in value:
            return {**value, "kind": _KINDS.get(str(value.get("use")))}
        return value

    @classmethod
    def of(cls, stage: str, use: str, kind: FolderKind, seconds: float, **what: Any) -> Manifest:
        """Make a manifest for this moment and machine; `close` adds the files."""
        return cls(
            stage=stage,
            use=use,
            kind=kind,
            seconds=round(seconds, 2),
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            environment=environment.environment(),
            **what,
        )

    @property
    def model(self) -> ModelFacts | None:
        facts = self.metrics.get("model")
        return ModelFacts.model_validate(facts) if isinstance(facts, dict) else None

    @property
    def splits(self) -> dict[str, dict[str, Any]]:
        """The figures of each measured split."""
        return {k: v for k, v in self.metrics.items() if isinstance(v, dict) and "n" in v}

    @property
    def training(self) -> dict[str, Any] | None:
        """Steps, speed and the chosen checkpoint; None where nothing was trained."""
        training: dict[str, Any] | None = self.metrics.get("train")
        return training

    @property
    def checks(self) -> dict[str, dict[str, Any]]:
        """The comparison of an IR with its PyTorch model, by file."""
        return self.metrics.get("check") or {}

    @property
    def made_of(self) -> tuple[str, ...]:
        """The stages that this one needed."""
        return tuple(self.inputs.get("stage", {}).get("needs", ()))

    @property
    def deployed_bytes(self) -> int | None:
        """Return the size of what runs: the main IR or a model's weights; None for other folders.
        An IR that also takes texts is a second copy, unless it is the only one.
        """
        if self.kind == "model":
            sizes = [entry.bytes for name, entry in self.files.items() if _is_weights(name)]
        else:
            sizes = self._ir_sizes((IR_XML, IR_BIN)) or self._ir_sizes(FUSED_FILES)
        return sum(sizes) if sizes else None

    def _ir_sizes(self, names: tuple[str, ...]) -> list[int]:
        files = self.files.items()
        return [entry.bytes for path, entry in files if PurePosixPath(path).name in names]


def _is_weights(name: str) -> bool:
    stem, _, ending = WEIGHTS.partition(".")
    return name.startswith(stem) and name.endswith(ending)


def main_figure(figures: dict[str, Any]) -> str:
    """Name the figure that stands for a model: the first one after n; n where there is no other."""
    return next((name for name in figures if name not in _NO_FIGURES), "n")


def interval(figures: dict[str, Any], name: str) -> tuple[float, float] | None:
    """Return the interval of a figure; None where there is none, or too few rows for one."""
    low, high = figures.get(f"{name}_95") or (None, None)
    return None if low is None or high is None else (low, high)


_NO_FIGURES = ("n", "of", "pytorch")
