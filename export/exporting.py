"""One export: of which model, to which folder, in which shape."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from export import names
from export.options import Options
from export.origin import Origin
from export.shapes import Shape
from jpqd import tasks
from jpqd.core.manifest import ModelFacts
from jpqd.core.progress import Progress
from jpqd.model import families
from jpqd.tasks import Kind


@dataclass(frozen=True)
class Export:
    spec: Options
    origin: Origin
    out: Path
    progress: Progress
    network: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    shape: Shape
    facts: ModelFacts
    """The size of the PyTorch model."""

    @property
    def place(self) -> Path:
        """The folder of the IRs."""
        if self.spec.layout == "folder":
            return self.out
        return self.out / "models" / self.name / "1"

    @property
    def name(self) -> str:
        return names.served(self.origin.folder.name)

    @cached_property
    def kind(self) -> Kind:
        """The kind of task, from the model's head."""
        return tasks.of_network(self.network)

    @property
    def longest(self) -> int:
        """Tokens that the PyTorch model takes."""
        return families.longest(self.network, self.tokenizer)

    @property
    def texts(self) -> int:
        """The number of texts in a row."""
        return 1 if self.kind.vectors else self.origin.texts

    @property
    def quantized(self) -> bool:
        return self.facts.precision == "INT8"
