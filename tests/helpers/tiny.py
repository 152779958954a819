"""What end-to-end tests share: a tiny recipe on disk, and the real command in a real process."""

import csv
import json
import os
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

from jpqd.data import corpus
from tests.helpers import warm

JPQD = str(Path(sysconfig.get_path("scripts")) / "jpqd")

RECIPE = """\
model: {new: bert, hidden_size: 32, num_hidden_layers: 2, num_attention_heads: 2,
        intermediate_size: 64, vocab_size: 400}
task: {name: tiny, dataset: DATA, text: [text], label: label, max_length: 32}
seed: 3
checkpoint_minutes: 1.0e-9
stages:
  teacher: {use: train, epochs: 3, batch_size: 16, learning_rate: 3.0e-3, average: 0.5,
            evals_per_epoch: 2}
  check: {use: evaluate, needs: [teacher], split: select}
"""


def write_recipe(folder: Path, rows: int = 320, text: str = RECIPE) -> Path:
    """`tiny.yaml` and its data in a folder."""
    data = folder / "data"
    data.mkdir(parents=True)
    for split, count in (("train", rows), ("validation", 64)):
        with (data / f"{split}.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["text", "label"])
            writer.writerows(corpus.reviews(split)[:count])  # type: ignore[arg-type]
    recipe = folder / "tiny.yaml"
    recipe.write_text(text.replace("DATA", str(data)))
    return recipe


def command(*arguments: object) -> list[str]:
    return [JPQD, *map(str, arguments)]


def environment() -> dict[str, str]:
    """One thread: the same sums in the same order wherever the tests run."""
    return {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "200"}


def start(*arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command(*arguments),
        env=environment(),
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def run(*arguments: object, timeout: float = 120) -> subprocess.CompletedProcess[str]:
    return warm.run(arguments, environment(), timeout)


def manifest(runs: Path, stage: str = "teacher", name: str = "tiny") -> dict[str, Any]:
    found: dict[str, Any] = json.loads((runs / name / stage / "manifest.json").read_text())
    return found


def weights(runs: Path) -> str:
    """The hash of the trained weights as the manifest has it."""
    entry: str = manifest(runs)["files"]["model.safetensors"]["sha256"]
    return entry


PYTHON = sys.executable
