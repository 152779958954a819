"""A plan's numbers of heads and neurons stay, the best of them, at once or step by step."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from jpqd.core import compression_plan
from jpqd.core.compression_plan import Figures, Plan, Structure
from jpqd.core.errors import UserError
from jpqd.methods.prune import Prune
from jpqd.methods.prune.attach import attach
from jpqd.methods.prune.pruning import Pruning
from jpqd.model import shrink
from tests.helpers import small

WANTED: Structure = ((1, 9), (0, 24), (4, 0))


def plan(layers: Structure) -> Plan:
    figures = Figures(layers=layers, p50_ms=1, size_mb=1, loss=0)
    return Plan(
        model="teacher", chosen=figures, whole=figures, precision="int8", speedup=2.0,
        target={"speedup": 2.0}, missed=[], strategy="dp", metric="accuracy", rows=1,
        evaluations=1, rank_correlation=None, front=[],
    )  # fmt: skip


def pruning(model: object, folder: Path, layers: Structure, **options: object) -> Pruning:
    compression_plan.save(plan(layers), folder)
    training = small.training(folder)
    ctx = dataclasses.replace(training.ctx, inputs={"plan": folder})
    asked = Prune(use="prune", plan="plan", refit=False, **options)  # type: ignore[arg-type]
    return attach(model, asked, dataclasses.replace(training, ctx=ctx))  # type: ignore[arg-type]


@pytest.mark.parametrize("family", small.FAMILIES)
def test_exactly_these_numbers_stay(family: str, tmp_path: Path) -> None:
    model = small.model(family)
    hooks = pruning(model, tmp_path, WANTED, score="magnitude")
    assert tuple(shrink.sizes(hooks.finish(model))) == WANTED


def test_a_ramp_goes_there_step_by_step(tmp_path: Path) -> None:
    model = small.model()
    hooks = pruning(model, tmp_path, WANTED, schedule="linear", start=0.0, end=1.0)
    seen = []
    for progress in (0.0, 0.25, 0.5, 0.75):
        hooks.step(progress)
        small.train_step(model)
        seen.append(hooks.kept)
        assert not hooks.ready
    hooks.step(1.0)
    assert hooks.ready
    assert tuple(shrink.sizes(model)) == WANTED
    assert seen == sorted(seen, reverse=True)
    assert len(set(seen)) == len(seen)
    small.train_step(model)


def test_the_units_with_the_highest_scores_stay(tmp_path: Path) -> None:
    model = small.model()
    layer = model.bert.encoder.layer[0]
    with torch.no_grad():
        layer.output.dense.weight[:, [3, 5]] *= 100
    before = layer.output.dense.weight.detach().clone()
    pruning(model, tmp_path, ((4, 2), *WANTED[1:]), score="magnitude").finish(model)
    torch.testing.assert_close(layer.output.dense.weight.detach(), before[:, [3, 5]])


@pytest.mark.parametrize(
    ("layers", "words"), [(WANTED[:2], "2 layers"), (((5, 9), *WANTED[1:]), "5 heads")]
)
def test_a_plan_for_another_model_is_refused(layers: Structure, words: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=words):
        pruning(small.model(), tmp_path, layers)


@pytest.mark.parametrize(
    "more", [{"keep": 0.3}, {"floor": 0.1}, {"structure": "layers"}, {"round_ffn_to": 8}]
)
def test_a_plan_is_not_mixed_with_a_share(more: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="does not go with plan"):
        Prune(use="prune", plan="plan", **more)  # type: ignore[arg-type]


def test_a_plan_is_read_by_the_stage() -> None:
    assert Prune(use="prune", plan="found").inputs() == ("found",)
    assert Prune(use="prune", keep=0.3).inputs() == ()
