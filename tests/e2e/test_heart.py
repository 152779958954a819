"""Pruning and quantizing through whole runs: all ways train, and their folders say the same."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from jpqd.core.progress import Progress
from jpqd.model import loading
from jpqd.recipe import recipes
from jpqd.run import runner
from tests.helpers.distill_place import COMMON, Place

WAYS = {
    "heads": "keep: 0.5",
    "block": "keep: 0.5, structure: block, score: taylor, schedule: linear",
    "layers": "keep: 0.5, structure: layers, score: movement, schedule: one_shot",
    "weights": "keep: 0.5, structure: unstructured, score: magnitude, schedule: iterative",
    "random": "keep: 0.5, score: random, scope: layer, round_ffn_to: 4",
}
ORIGINAL = "target: threshold, structure: block, score: movement, regularization: 2.0, start: 0.1"
QUANTIZE = "{use: quantize, samples: 8}"
HEAVY = "keep: 0.15, score: movement, schedule: iterative"
"""So little that parts stand still."""


def stages_of(name: str, settings: str, methods: str, start: str = "dense") -> str:
    return (
        f"  {name}: {{{settings}, needs: [{start}], methods: [{methods}]}}\n"
        f"  {name}-again: {{use: evaluate, needs: [{name}]}}\n"
    )


def chain() -> str:
    """All ways, each with and without quantizers; then stages that start from such stages."""
    averaged = COMMON + ", average: 0.5"
    text = ""
    for name, way in WAYS.items():
        prune = f"{{use: prune, {way}}}"
        text += stages_of(name, COMMON, prune)
        text += stages_of(f"{name}-q", averaged, f"{prune}, {QUANTIZE}")
    follow = "{use: distill, teacher: dense, augment: 0.2}"
    text += stages_of("original", averaged, f"{{use: prune, {ORIGINAL}}}, {QUANTIZE}, {follow}")
    text += stages_of("turned", averaged, f"{QUANTIZE}, {{use: prune, {HEAVY}}}")
    text += stages_of("then-q", COMMON, QUANTIZE, "heads")
    text += stages_of("then-p", averaged, "{use: prune, keep: 0.3}", "heads")
    text += stages_of("last", averaged, "{use: prune, keep: 0.1, score: magnitude}", "turned")
    shot = COMMON.replace("epochs: 1", "epochs: 0")
    text += stages_of("shot", shot, f"{{use: prune, {WAYS['heads']}}}, {QUANTIZE}")
    text += stages_of("ptq", shot, "{use: quantize, samples: 8, preset: performance}")
    return text


@pytest.fixture(scope="module")
def ran(trained: Path) -> Path:
    """The folder of a run of all of them."""
    path = trained / "tiny.yaml"
    path.write_text(path.read_text() + chain())
    runner.execute(recipes.load(path), trained / "runs", Progress(quiet=True))
    return trained / "runs" / "tiny"


def metrics(run: Path, stage: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run / stage / "manifest.json").read_text())["metrics"]
    return found


def names() -> list[str]:
    joint = [name + end for name in WAYS for end in ("", "-q")]
    return [*joint, "original", "turned", "then-q", "then-p", "last", "shot", "ptq"]


@pytest.mark.parametrize("name", names())
def test_its_folder_says_the_same_again(ran: Path, name: str) -> None:
    assert metrics(ran, name)["validation"] == metrics(ran, f"{name}-again")["validation"]
    first, again = (
        load_file(ran / stage / "predictions.safetensors")["logits"]
        for stage in (name, f"{name}-again")
    )
    np.testing.assert_allclose(first, again, atol=1e-6)
    quantized = name.endswith("-q") or name in ("original", "turned", "last", "shot", "ptq")
    assert metrics(ran, name)["model"]["precision"] == ("INT8" if quantized else "FP32")


@pytest.mark.parametrize("name", [*WAYS, "shot"])
def test_as_much_stays_as_was_asked(ran: Path, name: str) -> None:
    """Within a unit: a head, eight neurons, a layer, a single weight."""
    share = "nonzero_share" if name == "weights" else "encoder_share"
    unit = {"layers": 0.01, "weights": 0.002, "random": 0.1}.get(name, 0.13)
    assert 0.5 - unit < metrics(ran, name)["model"][share] <= 0.5 + 0.002


def test_what_stays_of_the_original_results_from_its_threshold(ran: Path) -> None:
    assert 0 < metrics(ran, "original")["model"]["encoder_share"] < 1
    history = json.loads((ran / "original" / "history.json").read_text())
    penalties = [entry["penalty"] for entry in history if "penalty" in entry]
    assert max(penalties) > 0 == penalties[-1]  # grows with the ramp, and ends with it


def test_a_quantizer_changes_no_size(ran: Path) -> None:
    for name in WAYS:
        plain, quantized = (metrics(ran, stage)["model"] for stage in (name, f"{name}-q"))
        assert plain["parameters"] == pytest.approx(quantized["parameters"], rel=0.05)
        assert plain["dense"] == quantized["dense"]


def test_parts_stand_still_where_little_is_kept(ran: Path) -> None:
    sizes = metrics(ran, "turned")["model"]["layers"]
    assert any(0 in layer for layer in sizes)
    assert loading.load(ran / "turned").heads_kept is not None


def test_a_pruned_stage_is_pruned_further(ran: Path) -> None:
    """`keep` counts from the whole encoder, not from what the stage before left."""
    assert 0.3 - 0.13 < metrics(ran, "then-p")["model"]["encoder_share"] <= 0.3
    history = json.loads((ran / "then-p" / "history.json").read_text())
    shares = [entry["kept"] for entry in history if "kept" in entry]
    assert shares[-1] == pytest.approx(metrics(ran, "then-p")["model"]["encoder_share"])
    kept = [
        [
            set(layer["heads"])
            for layer in json.loads((ran / s / "structure.json").read_text())["layers"]
        ]
        for s in ("heads", "then-p")
    ]
    assert all(few <= many for few, many in zip(kept[1], kept[0], strict=True))


def test_the_history_says_how_the_ramp_went(ran: Path) -> None:
    for name in ("heads", "weights"):
        history = json.loads((ran / name / "history.json").read_text())
        kept = [entry["kept"] for entry in history if "kept" in entry]
        assert kept == sorted(kept, reverse=True)
        assert kept[0] > kept[-1]


def test_training_goes_on_after_the_cut(ran: Path) -> None:
    """Weights that no cut touches differ from those that training began with."""
    name = "classifier.weight"
    dense, pruned = (load_file(ran / s / "model.safetensors")[name] for s in ("dense", "heads"))
    assert not np.array_equal(dense, pruned)


def test_without_training_weights_stay_what_they_were(ran: Path) -> None:
    for name in ("classifier.weight", "bert.embeddings.word_embeddings.weight"):
        dense, shot = (load_file(ran / s / "model.safetensors")[name] for s in ("dense", "shot"))
        assert np.array_equal(dense, shot)


def late(place: Place, after: str) -> dict[str, np.ndarray]:
    """The weights of a stage that prunes right before its last step."""
    options = f"keep: 0.5, score: magnitude, schedule: one_shot, start: 0.9, after: {after}"
    text = (place.folder / "tiny.yaml").read_text()
    dense = text[text.index("  dense") :].splitlines()[0] + "\n"
    stage = stages_of("late", COMMON, f"{{use: prune, end: 1.0, {options}}}")
    run = place.run(place.recipe(dense + stage, name="tiny"))
    return load_file(run / "late" / "model.safetensors")


@pytest.mark.parametrize("score", ["fisher", "taylor", "movement"])
def test_pruning_before_the_first_step_learns_scores_first(place: Place, score: str) -> None:
    text = (place.folder / "tiny.yaml").read_text()
    dense = text[text.index("  dense") :].splitlines()[0] + "\n"
    still = COMMON.replace("learning_rate: 3.0e-3", "learning_rate: 1.0e-9")
    prune = (
        f"{{use: prune, keep: 0.4, score: {score}, schedule: one_shot, start: 0.0, samples: 64}}"
    )
    stages = stages_of("shot", COMMON.replace("epochs: 1", "epochs: 0"), prune)
    stages += stages_of("begun", still, prune)
    run = place.run(place.recipe(dense + stages, name="tiny"))
    shot, begun = (load_file(run / name / "model.safetensors") for name in ("shot", "begun"))
    for name, weight in shot.items():
        assert begun[name] == pytest.approx(weight, abs=1e-5)


def test_a_rewind_brings_the_early_weights_back_and_reinit_does_not(place: Place) -> None:
    early = load_file(place.teacher / "model.safetensors")
    found = {after: late(place, after) for after in ("keep", "rewind", "reinit")}
    for name in ("classifier.weight", "bert.embeddings.word_embeddings.weight"):
        gaps = {
            after: np.abs(weights[name] - early[name]).mean() for after, weights in found.items()
        }
        assert gaps["rewind"] < 0.5 * gaps["keep"]
        assert gaps["reinit"] > 2 * gaps["keep"]


def test_a_rewind_without_training_is_no_rewind(place: Place) -> None:
    """Nothing has moved that could come back."""
    shot = "keep: 0.5, schedule: one_shot, after: rewind, samples: 16"
    stage = stages_of("shot", COMMON.replace("epochs: 1", "epochs: 0"), f"{{use: prune, {shot}}}")
    run = place.run(place.recipe(stage.replace(", needs: [dense]", "")))
    assert metrics(run, "shot")["model"]["encoder_share"] <= 0.5
