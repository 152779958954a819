"""A trained teacher in a folder, and what its tests ask of it."""

import csv
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from jpqd.core import artifact, seals
from jpqd.core.progress import Progress
from jpqd.recipe import recipes
from jpqd.run import runner
from jpqd.training import evaluation
from tests.helpers import tiny

HEAD = tiny.RECIPE[: tiny.RECIPE.index("stages:")].replace("1.0e-9", "60")
COMMON = "use: train, epochs: 1, batch_size: 16, precision: f32, learning_rate: 3.0e-3"
ROWS = 160


@dataclass
class Place:
    """A folder with a trained teacher, and the data that it was trained on."""

    folder: Path

    @property
    def teacher(self) -> Path:
        return self.folder / "runs" / "tiny" / "dense"

    def recipe(self, stages: str, *changes: tuple[str, str], name: str = "small") -> Path:
        text = (self.folder / "tiny.yaml").read_text()
        text = text[: text.index("stages:")] + "stages:\n" + stages
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        path = self.folder / f"{name}.yaml"
        path.write_text(text)
        return path

    def run(self, path: Path) -> Path:
        runner.execute(recipes.load(path), self.folder / "runs", Progress(quiet=True))
        return self.folder / "runs" / path.stem

    def small(self, distill: str, *changes: tuple[str, str]) -> Path:
        """A narrow student from random weights that learns with these settings."""
        stages = f"  small: {{{COMMON}, methods: [{{use: distill, {distill}}}]}}\n"
        return self.recipe(stages, ("hidden_size: 32", "hidden_size: 16"), *changes)


def losses(run: Path, stage: str = "small") -> list[float]:
    history = json.loads((run / stage / "history.json").read_text())
    return [entry["loss"] for entry in history if "loss" in entry]


def weights(folder: Path) -> dict[str, np.ndarray]:
    return load_file(folder / "model.safetensors")


def same(ours: dict[str, np.ndarray], theirs: dict[str, np.ndarray]) -> bool:
    return ours.keys() == theirs.keys() and all(
        np.array_equal(ours[name], theirs[name]) for name in ours
    )


def write_predictions(
    place: Place, said: Callable[[int], tuple[float, ...]], header: str = "0,1", rows: int = ROWS
) -> Path:
    path = place.folder / "said.csv"
    lines = [header, *(",".join(map(str, said(row))) for row in range(rows))]
    path.write_text("\n".join(lines) + "\n")
    return path


def label_names(place: Place) -> list[str]:
    config = json.loads((place.teacher / "config.json").read_text())
    return list(config["id2label"].values())


def change_labels(place: Place, names: list[str]) -> None:
    set_labels(place.teacher, names)


def set_labels(folder: Path, names: list[str]) -> None:
    path = folder / "config.json"
    config = json.loads(path.read_text())
    config["id2label"] = dict(enumerate(names))
    config["label2id"] = {name: number for number, name in enumerate(names)}
    path.write_text(json.dumps(config))
    if manifest := seals.read(folder / "manifest.json"):
        artifact.close(folder, manifest)


def rows_of(place: Place) -> list[dict[str, str]]:
    with (place.folder / "data" / "train.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def asked_rows(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Note how many rows models are asked for, from now on."""
    asked: list[int] = []
    predict = evaluation.predict

    def noted(network: Any, split: Any, *more: Any) -> Any:
        asked.append(len(split))
        return predict(network, split, *more)

    monkeypatch.setattr(evaluation, "predict", noted)
    return asked
