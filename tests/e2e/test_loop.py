"""The training loop: fractions of an epoch, means over several steps, what trackers are told."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any, ClassVar

import pytest
from transformers import TrainerCallback
from transformers.integrations import integration_utils

from jpqd.core.progress import Progress
from jpqd.recipe import recipes
from jpqd.run import runner
from tests.helpers import tiny
from tests.helpers.distill_place import COMMON, Place

STEPS, EVERY = 19, 3
"""Half an epoch of 38 batches of 4 rows; the history has a loss for every third step."""


def half_an_epoch(place: Place, minutes: str) -> Path:
    few = COMMON.replace("epochs: 1", "epochs: 0.5").replace("batch_size: 16", "batch_size: 4")
    often = ("checkpoint_minutes: 60", f"checkpoint_minutes: {minutes}")
    return place.recipe(f"  joint: {{{few}, average: 0.9}}\n", often, name="tiny")


def history(folder: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((folder / "history.json").read_text())
    return found


def test_kills_in_the_middle_and_after_the_last_step_change_nothing(place: Place) -> None:
    path, runs = half_an_epoch(place, "0.0001"), place.folder / "runs"
    died = [str(EVERY + 2), str(STEPS)]  # between two losses of the history, and at the very end
    done = subprocess.run(
        [tiny.PYTHON, "-m", "tests.helpers.dying", path, runs, *died, "0", "0"],
        env=tiny.environment(),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    killed, whole = runs / "0", runs / "1"
    manifests = [json.loads((run / "manifest.json").read_text()) for run in (killed, whole)]
    assert [manifest["metrics"]["train"]["steps"] for manifest in manifests] == [STEPS, STEPS]
    ours, theirs = (manifest["files"]["model.safetensors"] for manifest in manifests)
    assert ours == theirs
    assert history(killed) == history(whole)
    steps = [entry["step"] for entry in history(whole) if "loss" in entry]
    assert steps == list(range(EVERY, STEPS, EVERY))


class Recorder(TrainerCallback):  # type: ignore[misc]
    """A tracker that remembers what it is told."""

    heard: ClassVar[list[tuple[str, Any]]]

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.heard.append(("begin", args.run_name))

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
        self.heard.append(("log", {**logs, "step": state.global_step}))

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.heard.append(("end", state.global_step))


def test_every_tracker_is_told_all_that_stands_in_the_history(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    kinds = {name: type(name, (Recorder,), {"heard": []}) for name in ("mlflow", "comet_ml")}
    for name, kind in kinds.items():
        monkeypatch.setitem(integration_utils.INTEGRATION_TO_CALLBACK, name, kind)
        monkeypatch.setitem(runner._MODULES, name, "json")  # which is installed
    recipe = recipes.load(half_an_epoch(place, "60"), ("report_to=[mlflow, comet_ml]",))
    runner.execute(recipe, place.folder / "runs", Progress(quiet=True))
    logged = [("log", entry) for entry in history(place.folder / "runs" / "tiny" / "joint")]
    for kind in kinds.values():
        assert kind.heard == [("begin", "joint"), *logged, ("end", STEPS)]
