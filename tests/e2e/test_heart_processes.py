"""Two processes prune and quantize one model: they decide alike, and cut at the end."""

from __future__ import annotations

import json

import numpy as np
from safetensors.numpy import load_file

from jpqd.model import loading
from tests.e2e.test_processes import torchrun
from tests.helpers.distill_place import COMMON, Place

WAYS = {
    "heads": "keep: 0.4",
    "block": "keep: 0.4, structure: block, score: movement, end: 1.0",
}


def stages() -> str:
    """`end: 1.0` prunes after the last step, when no forward pass tells the others any more."""
    text = ""
    for name, way in WAYS.items():
        methods = f"{{use: prune, {way}}}, {{use: quantize, samples: 2}}"
        text += (
            f"  {name}: {{{COMMON}, average: 0.5, methods: [{methods}]}}\n"
            f"  {name}-again: {{use: evaluate, needs: [{name}]}}\n"
        )
    return text


def test_two_processes_agree_on_what_stays(place: Place) -> None:
    done = torchrun(place.recipe(stages()), place.folder / "two")
    assert done.returncode == 0, done.stderr
    run = place.folder / "two" / "small"
    for name in WAYS:
        first, again = (
            json.loads((run / stage / "manifest.json").read_text())["metrics"]
            for stage in (name, f"{name}-again")
        )
        assert first["validation"] == again["validation"]
        logits = [
            load_file(run / stage / "predictions.safetensors")["logits"]
            for stage in (name, f"{name}-again")
        ]
        np.testing.assert_allclose(*logits, atol=1e-5, err_msg=name)
        assert 0.2 < first["model"]["encoder_share"] <= 0.4
        assert loading.load(run / name).config.num_labels == 2
