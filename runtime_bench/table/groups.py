"""Groups of models, each built, measured in memory together, and removed: a kill costs one.

A machine is faster in one quarter of an hour than in the next. So each group has the shared models
besides its own, and their times put all groups on one scale.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from jpqd.core import files
from jpqd.core.progress import Progress
from runtime_bench.backends.openvino_ir import OpenvinoIr
from runtime_bench.table import build, timing
from runtime_bench.table.build import Factory
from runtime_bench.table.options import GROUP, PrecisionName
from runtime_bench.table.structures import Models
from runtime_bench.table.texts import Texts
from runtime_bench.table.timing import Times

Measured = list[tuple[list[int], Times]]
"""The times of each group, and the numbers that its models have among all."""


@dataclass(frozen=True)
class Setup:
    device: str
    device_name: str
    threads: int


@dataclass(frozen=True)
class _Group:
    numbers: list[int]
    names: list[PrecisionName]
    """The precisions at which the same files are measured."""
    place: Path
    """The folder of all models of this kind."""

    def times(self, name: PrecisionName) -> Path:
        return self.place / f"{name}-{'-'.join(map(str, self.numbers))}.npz"

    def missing(self) -> list[PrecisionName]:
        return [name for name in self.names if not self.times(name).is_file()]


class Groups:
    def __init__(
        self,
        factory: Factory,
        given: Texts,
        setup: Setup,
        models: Models,
        work: Path,
        progress: Progress,
    ) -> None:
        self.factory, self.given, self.setup = factory, given, setup
        self.every, self.shared = [*models.fitted, *models.checked], models.shared
        self.work, self.progress = work, progress

    def measure(
        self, precisions: Sequence[PrecisionName], seconds: float
    ) -> dict[PrecisionName, Measured]:
        names = sorted(set(precisions))
        quantized = self._mixed("quantized", [name for name in names if name == "int8"])
        plain = self._mixed("plain", [name for name in names if name != "int8"])
        groups = [*quantized, *plain]
        share = seconds / sum(len(group.names) for group in groups)
        for number, group in enumerate(groups):
            self.progress.say(f"    group {number + 1} of {len(groups)}: {', '.join(group.names)}")
            self._measure(group, share)
        return {
            name: [(g.numbers, timing.load(g.times(name))) for g in groups if name in g.names]
            for name in names
        }

    def _mixed(self, kind: str, names: list[PrecisionName]) -> list[_Group]:
        """Mix the models: a machine that changes with time must not favour one sort."""
        if not names:
            return []
        own = [number for number in range(len(self.every)) if number not in self.shared]
        order = np.random.default_rng(0).permutation(own)
        parts = np.array_split(order, -(-len(order) // (GROUP - len(self.shared))))
        return [_Group([*self.shared, *part.tolist()], names, self.work / kind) for part in parts]

    def _measure(self, group: _Group, seconds: float) -> None:
        """Measure a group, or what a kill left to measure of it."""
        missing = group.missing()
        folders = [group.place / str(number) for number in group.numbers]
        if missing:
            group.place.mkdir(parents=True, exist_ok=True)
            sizes = np.array([self._built(group, folder) for folder in folders])
        for name in missing:
            self.progress.say(
                f"    measures {len(folders)} models for about {seconds:.0f} s, {name}"
            )
            backends = [self._backend(folder, name) for folder in folders]
            found = timing.times(backends, sizes, self.given, seconds)
            timing.save(found, group.times(name))
        for number, folder in zip(group.numbers, folders, strict=True):
            if number not in self.shared:
                files.remove(folder)

    def _built(self, group: _Group, folder: Path) -> int:
        """Build a model unless it is there; return its bytes."""
        structure = self.every[int(folder.name)]
        if not folder.exists():
            self.progress.say(f"    builds a model of {_words(structure)}")
            self.factory.write(structure, self.given.lengths, "int8" in group.names, folder)
        return build.size(folder)

    def _backend(self, folder: Path, name: PrecisionName) -> OpenvinoIr:
        precision: Literal["f32", "default"] = "f32" if name == "f32" else "default"
        device, threads = self.setup.device, self.setup.threads
        return OpenvinoIr(path=str(folder), threads=threads, device=device, precision=precision)


def _words(structure: Sequence[tuple[int, int]]) -> str:
    heads, neurons = (sum(column) for column in zip(*structure, strict=True))
    return f"{len(structure)} layers, {heads} heads, {neurons:,} neurons"
