"""A run to export from, and what its tests ask of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from click.testing import Result
from typer.testing import CliRunner

from cli import app
from jpqd.data import corpus
from tests.helpers import tiny

STAGES = """\
stages:
  teacher: {use: train, epochs: 2, batch_size: 16, learning_rate: 3.0e-3, precision: f32}
  jpqd:
    use: train
    needs: [teacher]
    epochs: 1
    batch_size: 16
    learning_rate: 1.0e-3
    precision: f32
    methods:
      - {use: prune, keep: 0.5, schedule: one_shot, start: 0.0, samples: 16}
      - {use: quantize, samples: 4}
  ir: {use: ov_ir, needs: [jpqd], shape: "bounded:24"}
  check: {use: evaluate, needs: [jpqd], split: select}
"""
TEXT = tiny.RECIPE[: tiny.RECIPE.index("stages:")].replace("1.0e-9", "60") + STAGES
REVIEWS = [text for text, _ in corpus.reviews("validation")[:5]]


def jpqd(*arguments: object, text: str = "") -> Result:
    return CliRunner().invoke(app, [*map(str, arguments)], input=text)


def manifest(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "manifest.json").read_text())
    return found


def assert_nothing_written(runs: Path) -> None:
    assert [path.name for path in (runs / "tiny").glob("*_ir*")] == []
    assert list(runs.rglob("*.partial")) == []


def other_data(folder: Path, rows: list[str], *settings: str) -> Path:
    """A teacher of other data, exported with its tokenizer."""
    for split in ("train", "validation"):
        (folder / f"{split}.tsv").write_text("\n".join(rows))
    recipe = tiny.write_recipe(folder / "recipe", rows=16, text=TEXT[: TEXT.index("  jpqd:")])
    more = [
        part for setting in (f"task.dataset={folder}", *settings) for part in ("--set", setting)
    ]
    done = jpqd("run", recipe, "--runs", folder / "runs", *more)
    assert done.exit_code == 0, done.output
    done = jpqd("export", "--ir", "--fuse-tokenizer", "--runs", folder / "runs")
    assert done.exit_code == 0, done.output
    return folder / "runs" / "tiny" / "teacher_ir"
