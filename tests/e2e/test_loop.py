"""The training loop: fractions of an epoch, means over several steps, what trackers are told."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path
from typing import Any, ClassVar

import pytest
from tensorboard.backend.event_processing import event_accumulator
from transformers import TrainerCallback
from transformers.integrations import integration_utils

from jpqd.core import interrupts
from jpqd.core.errors import Interrupted, RunError
from jpqd.core.progress import Progress
from jpqd.recipe import recipes
from jpqd.run import runner
from jpqd.training.loop import Loop
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
    path, runs = half_an_epoch(place, "1.0e-9"), place.folder / "runs"
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
    assert steps == [*range(EVERY, STEPS, EVERY), STEPS]


@pytest.mark.parametrize("rate", ["3.0e-3", "9.0e+8"])
def test_a_stage_of_few_steps_has_a_loss_too(place: Place, rate: str) -> None:
    """Two steps, where the history has a loss for every third one."""
    few = (
        ("epochs: 0.5", "epochs: 0.05, warmup: 0.0"),
        ("learning_rate: 3.0e-3", f"learning_rate: {rate}"),
    )
    path = half_an_epoch(place, "60")
    for old, new in few:
        path.write_text(path.read_text().replace(old, new))
    if rate == "9.0e+8":
        with pytest.raises(RunError, match=r"at step 2\. Try a lower learning_rate"):
            place.run(path)
        return
    (loss,) = [entry for entry in history(place.run(path) / "joint") if "loss" in entry]
    assert loss["step"] == 2


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


def test_the_curves_are_those_of_the_training_that_was_sealed(place: Place) -> None:
    """Not of one that was killed, nor of one with other settings before."""
    path, runs = half_an_epoch(place, "60"), place.folder / "runs"
    for more in ("stages.joint.learning_rate=0.01", "stages.joint.learning_rate=0.001"):
        recipe = recipes.load(path, ("report_to=tensorboard", more))
        runner.execute(recipe, runs, Progress(quiet=True))
    curves = event_accumulator.EventAccumulator(str(_events(runs / "tiny" / ".tracking" / "joint")))
    curves.Reload()
    losses = [(event.step, event.value) for event in curves.Scalars("train/loss")]
    sealed = [(e["step"], e["loss"]) for e in history(runs / "tiny" / "joint") if "loss" in e]
    assert losses == [(step, pytest.approx(loss)) for step, loss in sealed]


def _events(folder: Path) -> Path:
    """Return the one file of events that holds scalars."""
    (found,) = {path.parent for path in folder.rglob("events.out.tfevents.*")}
    return found


def test_a_tracker_hears_again_what_came_before_a_kill(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = type("mlflow", (Recorder,), {"heard": []})
    monkeypatch.setitem(integration_utils.INTEGRATION_TO_CALLBACK, "mlflow", kind)
    monkeypatch.setitem(runner._MODULES, "mlflow", "json")
    recipe = recipes.load(half_an_epoch(place, "1.0e-9"), ("report_to=mlflow",))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Loop, "_log_loss", _stopping(Loop._log_loss, at=4 * EVERY))
        with pytest.raises(Stop):
            runner.execute(recipe, place.folder / "runs", Progress(quiet=True))
    kind.heard.clear()
    runner.execute(recipe, place.folder / "runs", Progress(quiet=True))
    logged = [("log", entry) for entry in history(place.folder / "runs" / "tiny" / "joint")]
    assert kind.heard == [("begin", "joint"), *logged, ("end", STEPS)]


class Stop(Exception):
    pass


def _stopping(log: Any, at: int) -> Any:
    def stopping(loop: Loop) -> None:
        if loop.journal.step == at:
            raise Stop
        log(loop)

    return stopping


def test_a_signal_in_the_last_evaluation_is_not_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = recipes.load(tiny.write_recipe(tmp_path, rows=64), ("stages.teacher.epochs=1",))
    real = Loop._evaluate

    def evaluated(self: Loop) -> None:
        real(self)
        if self.journal.step == self.steps.total:
            interrupts._handle(signal.SIGTERM, None)

    with monkeypatch.context() as during:
        during.setattr(Loop, "_evaluate", evaluated)
        with pytest.raises(Interrupted, match=r"saved at step 4 of 4") as stopped:
            runner.execute(recipe, tmp_path / "runs", Progress(quiet=True))
    assert stopped.value.exit_code == 143
    assert not (tmp_path / "runs" / "tiny" / "teacher").exists()
    runner.execute(recipe, tmp_path / "runs", Progress(quiet=True))
    assert (tmp_path / "runs" / "tiny" / "teacher" / "manifest.json").is_file()
