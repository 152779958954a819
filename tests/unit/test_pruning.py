"""The first and the last step of a stage that prunes."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from jpqd.methods.prune import learning
from jpqd.methods.prune.pruning import Pruning
from tests.helpers import small


@pytest.mark.parametrize("schedule", ["one_shot", "linear", "cubic", "iterative"])
def test_what_begins_at_once_learns_scores_first(
    schedule: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(learning, "learn", lambda *given, bf16: asked.append(given))
    monkeypatch.setattr(small.Training, "kind", None)
    monkeypatch.setattr(Pruning, "_some_rows", lambda self: iter(()))
    prune = small.pruning(small.model(), 0.5, schedule=schedule, start=0.0)
    for progress in (0.0, 0.1, 0.2):
        prune.step(progress)
    assert len(asked) == 1


@pytest.mark.parametrize("after", ["rewind", "reinit"])
def test_weights_do_not_start_again_when_no_step_is_left(after: str) -> None:
    model = small.model()
    more = {"schedule": "iterative", "score": "magnitude", "end": 0.999, "after": after}
    prune = small.pruning(model, 0.5, start=0.1, **more)
    for progress in (0.0, 0.1, 0.5):
        prune.step(progress)
        small.train_step(model)
    words = model.get_input_embeddings().weight.detach().clone()
    prune.finish(model)
    torch.testing.assert_close(model.get_input_embeddings().weight, words)
