"""Distillation through whole runs: what a teacher gives, and that a kill costs nothing."""

import csv
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from jpqd.core.progress import Progress
from jpqd.data import batching, splits
from jpqd.methods.distill.inside import PROJECTION
from jpqd.model import loading, shrink
from jpqd.recipe import recipes
from jpqd.recipe.contracts import Context
from jpqd.run.plan import plan
from jpqd.training.loop import Loop
from jpqd.training.method import Training
from tests.e2e.test_processes import torchrun
from tests.helpers import fake_hub, tiny
from tests.helpers.distill_place import (
    COMMON,
    ROWS,
    Place,
    asked_rows,
    change_labels,
    label_names,
    losses,
    rows_of,
    same,
    weights,
    write_predictions,
)


def attached(path: Path, place: Place, **inputs: Path) -> tuple[Any, Any, Any]:
    """The student, its hooks and a batch of train, as the stage would make them."""
    loaded = recipes.load(path)
    stage: Any = loaded.stages["small"]
    cache = place.folder / "runs" / ".cache"
    ctx = Context("small", loaded.model, loaded.task, 3, (), 5.0, inputs, place.folder,
                  place.folder, cache, Progress(quiet=True))  # fmt: skip
    tokenizer = loading.load_tokenizer(loaded.model, loaded.task, cache)
    prepared = splits.prepare(loaded.task, tokenizer, cache, ctx.progress)
    torch.manual_seed(5)
    network, _ = loading.load_for_training(loaded.model, prepared.kind, tokenizer)
    training = Training(ctx, tokenizer, prepared, bf16=False)
    network, hooks = stage.methods[0].attach(network, training)
    rows = [prepared.splits["train"][index] for index in (3, 50, 7, 121)]
    return network, hooks, training.collator()(rows)


def test_the_cached_and_the_live_teacher_give_the_same_loss(place: Place) -> None:
    found = []
    for settings in ("", ", hidden: 1.0e-30"):
        network, hooks, batch = attached(place.small(f"teacher: {place.teacher}{settings}"), place)
        assert (hooks.inside is None) == (settings == "")
        network.train()
        logits = torch.tensor([[0.3, -0.2], [1.0, 0.0], [0.0, 2.0], [-1.0, 1.0]])
        out = network(**batching.features(batch))
        out.logits = logits
        found.append(hooks.loss(batch, out).item())
    assert found[0] == pytest.approx(found[1], rel=1e-5)
    assert found[0] > 0.01


def test_pairs_follow_layers_that_are_taken_away(place: Place) -> None:
    settings = f"teacher: {place.teacher}, hidden: 1.0, attention: 1.0"
    network, hooks, batch = attached(place.small(settings), place)
    network.train()
    shrink.leave_layers(network, [1])
    out = network(**batching.features(batch))
    assert hooks.inside.pairs == [(0, 1)]
    assert torch.isfinite(hooks.loss(batch, out))


def test_the_teacher_predicts_once_for_all_runs_of_a_folder(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.run(place.small(f"teacher: {place.teacher}"))
    assert len(list((place.folder / "runs" / ".cache").glob("logits-*/*.safetensors"))) == 1
    asked = asked_rows(monkeypatch)
    place.run(place.small(f"teacher: {place.teacher}, temperature: 3.0"))
    assert ROWS * 0.95 not in asked
    assert asked


def test_a_student_of_another_size_comes_nearer_to_its_teacher(place: Place) -> None:
    shorter = ("num_hidden_layers: 2", "num_hidden_layers: 1")
    settings = f"teacher: {place.teacher}, weight: 1.0, hidden: 1.0, attention: 1.0"
    run = place.run(place.small(settings, ("epochs: 1", "epochs: 12"), shorter))
    found = losses(run)
    assert sum(found[-5:]) < 0.8 * sum(found[:5])
    history = json.loads((run / "small" / "history.json").read_text())
    assert any(entry.get("distill_loss", 0) > 0 for entry in history)
    saved = weights(run / "small")
    assert not [name for name in saved if "distill" in name]
    config = json.loads((run / "small" / "config.json").read_text())
    assert not config.get("output_hidden_states")
    assert not config.get("output_attentions")


def test_a_teacher_without_weight_changes_nothing(place: Place) -> None:
    narrow = ("hidden_size: 32", "hidden_size: 16")
    plain = losses(place.run(place.recipe(f"  small: {{{COMMON}}}\n", narrow)))
    silent = losses(place.run(place.small(f"teacher: {place.teacher}, weight: 0.0")))
    taught = losses(place.run(place.small(f"teacher: {place.teacher}")))
    assert plain == silent
    assert plain != taught


def test_a_table_of_predictions_teaches_by_the_rows_of_the_data(place: Place) -> None:
    """Also when rows of train are cut off, and whether probabilities or logits are given."""
    names = label_names(place)
    share = [round(0.001 + 0.998 * row / ROWS, 6) for row in range(ROWS)]
    write_predictions(place, lambda row: (share[row], 1 - share[row]), ",".join(names))
    settings = f"predictions: {place.folder / 'said.csv'}"
    _, hooks, batch = attached(place.small(settings), place)
    texts = [row["text"] for row in rows_of(place)]
    said = hooks.known.of_rows(batch["row"]).softmax(-1)[:, 0]
    tokenizer = loading.load_tokenizer(
        place.teacher, recipes.load(place.small(settings)).task, place.folder
    )
    for row, ids, found in zip(batch["row"], batch["input_ids"], said, strict=True):
        assert found.item() == pytest.approx(share[row], abs=1e-4)
        words = tokenizer(texts[row], truncation=True, max_length=32)["input_ids"]
        assert words == ids[: len(words)].tolist()
    logits = [np.log([one, 1 - one]) + 5 for one in share]
    write_predictions(place, lambda row: tuple(logits[row]), ",".join(names))
    _, again, _ = attached(place.small(settings), place)
    torch.testing.assert_close(
        again.known.logits.softmax(-1), hooks.known.logits.softmax(-1), atol=1e-5, rtol=0
    )


def test_with_all_weight_on_the_teacher_labels_teach_nothing(place: Place) -> None:
    write_predictions(place, lambda row: (row / 20, -1.0), ",".join(label_names(place)))
    settings = f"predictions: {place.folder / 'said.csv'}, weight: 1.0"
    first = weights(place.run(place.small(settings)) / "small")
    rows = rows_of(place)
    with (place.folder / "data" / "train.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ["text", "label"])
        writer.writeheader()
        names = sorted({row["label"] for row in rows})
        writer.writerows({**row, "label": names[row["label"] == names[0]]} for row in rows)
    again = weights(place.run(place.small(settings)) / "small")
    assert same(first, again)


def test_labels_in_another_order_are_put_in_ours(place: Place) -> None:
    path = place.small(f"teacher: {place.teacher}")
    _, straight, _ = attached(path, place)
    change_labels(place, [name.upper() for name in reversed(label_names(place))])
    _, turned, batch = attached(path, place)
    torch.testing.assert_close(
        turned.known.of_rows(batch["row"]), straight.known.of_rows(batch["row"]).flip(1)
    )


def test_what_a_teacher_says_is_in_the_fingerprint(place: Place) -> None:
    table = write_predictions(place, lambda row: (0.5, 0.5), ",".join(label_names(place)))

    def fingerprint(settings: str) -> str:
        loaded = recipes.load(place.small(settings))
        return plan(loaded, place.folder / "runs" / "small")[0].fingerprint

    teacher, predictions = f"teacher: {place.teacher}", f"predictions: {table}"
    before = [fingerprint(teacher), fingerprint(predictions)]
    assert [fingerprint(teacher), fingerprint(predictions)] == before
    change_labels(place, ["x", "y"])
    assert fingerprint(teacher) != before[0]
    assert fingerprint(predictions) == before[1]
    table.write_text(table.read_text().replace("0.5", "0.25"))
    assert fingerprint(predictions) != before[1]


INSIDE = "hidden: 1.0, attention: 1.0"


def test_a_student_with_a_projection_goes_on_to_the_same_weights(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = place.small(f"teacher: {place.teacher}, {INSIDE}", ("epochs: 1", "epochs: 3"),
                       ("learning_rate", "average: 0.5, learning_rate"))  # fmt: skip
    whole = place.run(path)
    expected = weights(whole / "small"), (whole / "small" / "history.json").read_text()
    shutil.rmtree(whole)
    commit = Loop._commit

    def die_after_the_first(self: Loop, written: Path) -> None:
        commit(self, written)
        saved = self.checkpoints.at(self.journal.step)
        assert PROJECTION + ".weight" in load_file(saved / "model.safetensors")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Loop, "_commit", die_after_the_first)
        place.run(path)
    assert len(list(whole.glob(".work/small-*/step-*"))) == 1
    place.run(path)
    assert same(weights(whole / "small"), expected[0])
    assert (whole / "small" / "history.json").read_text() == expected[1]


def test_two_processes_teach_what_one_teaches(place: Place) -> None:
    settings = f"teacher: {place.teacher}, {INSIDE}"
    path = place.small(settings, ("precision: f32", "precision: f32, dropout: 0.0"))
    one = place.run(path)
    done = torchrun(path, place.folder / "two")
    assert done.returncode == 0, done.stderr
    two = place.folder / "two" / "small"
    np.testing.assert_allclose(losses(one), losses(two), atol=1e-4)
    logits = [load_file(run / "small" / "predictions.safetensors")["logits"] for run in (one, two)]
    np.testing.assert_allclose(*logits, atol=2e-4)


def test_a_teacher_comes_from_a_hub(place: Place) -> None:
    shutil.copytree(place.teacher, place.folder / "hub" / "models" / "some" / "teacher")
    path = place.small("teacher: some/teacher")
    home = {"HF_HOME": str(place.folder / "home"), "HF_HUB_OFFLINE": "0",
            "HF_HUB_DISABLE_XET": "1"}  # fmt: skip
    with fake_hub.serving(place.folder / "hub") as endpoint:
        done = subprocess.run(
            tiny.command("run", path, "--runs", place.folder / "runs"),
            env={**tiny.environment(), **home, "HF_ENDPOINT": endpoint},
            capture_output=True,
            text=True,
            timeout=120,
        )
    assert done.returncode == 0, done.stderr
    found = tiny.manifest(place.folder / "runs", "small", "small")
    assert found["inputs"]["sources"] == {"some/teacher": {"hub": "some/teacher"}}


def test_a_file_that_was_moved_is_still_the_same(place: Place) -> None:
    table = write_predictions(place, lambda row: (0.2, 0.8))
    recipe = place.small(f"predictions: {table}")
    run = place.run(recipe)
    moved = table.rename(table.with_name("moved.csv"))
    recipe.write_text(recipe.read_text().replace(str(table), str(moved)))
    assert [step.status for step in plan(recipes.load(recipe), run)] == ["sealed"]
    moved.write_text(moved.read_text().replace("0.8", "0.7"))
    assert [step.status for step in plan(recipes.load(recipe), run)] == ["changed"]
