"""A plan's numbers of heads and neurons stay, the best of them, at once or step by step."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import PreTrainedModel

from jpqd.core import compression_plan
from jpqd.core.compression_plan import Figures, Plan, Structure, Units
from jpqd.core.errors import UserError
from jpqd.methods.prune import Prune
from jpqd.methods.prune.attach import attach
from jpqd.methods.prune.planned import digest
from jpqd.methods.prune.pruning import Pruning
from jpqd.model import families, shrink
from tests.helpers import small

WANTED: Structure = ((1, 9), (0, 24), (4, 0))


def plan(layers: Structure, units: Units | None = None) -> Plan:
    figures = Figures(layers=layers, p50_ms=1, size_mb=1, loss=0)
    return Plan(
        model="teacher", chosen=figures, whole=figures, precision="int8", speedup=2.0,
        target={"speedup": 2.0}, missed=[], strategy="dp", metric="accuracy", rows=1,
        evaluations=1, rank_correlation=None, front=[], units=units,
    )  # fmt: skip


def pruning(
    model: object, folder: Path, layers: Structure, units: Units | None = None, **options: object
) -> Pruning:
    compression_plan.save(plan(layers, units), folder)
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
    hooks = pruning(model, tmp_path, WANTED, schedule="linear", start=0.01, end=1.0)
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


def test_what_is_written_down_can_be_read_again() -> None:
    """A run's recipe has all defaults; a worker of a search reads it."""
    given = Prune(use="prune", plan="found")
    assert Prune.model_validate(given.plain()) == given


def test_a_plan_is_read_by_the_stage() -> None:
    assert Prune(use="prune", plan="found").inputs() == ("found",)
    assert Prune(use="prune", keep=0.3).inputs() == ()


LEFT = [(2,), tuple(range(3, 12)), (), tuple(range(24)), (0, 1, 2, 3), ()]
"""Units in the numbers of `WANTED`."""


def kept_rows(model: PreTrainedModel) -> torch.Tensor:
    weight: torch.Tensor = families.layers(model)[0].intermediate.dense.weight.detach()
    return weight


@pytest.mark.parametrize("options", [{}, {"schedule": "one_shot", "start": 0.2}])
def test_the_units_that_the_search_found_stay_where_all_go_at_once(
    options: dict[str, Any], tmp_path: Path
) -> None:
    model = small.model()
    before = kept_rows(model)
    hooks = pruning(model, tmp_path, WANTED, Units(of=digest(model), left=LEFT), **options)
    if options:
        hooks.step(0.2)
    else:
        hooks.finish(model)
    assert tuple(shrink.sizes(model)) == WANTED
    torch.testing.assert_close(kept_rows(model), before[3:12])


def test_units_of_another_model_are_not_taken(tmp_path: Path) -> None:
    model = small.model()
    before = kept_rows(model)
    units = Units(of=digest(small.model(seed=1)), left=LEFT)
    prune = pruning(model, tmp_path, WANTED, units, schedule="one_shot", start=0.2)
    prune.step(0.0)
    prune.step(0.2)
    assert not torch.equal(kept_rows(model), before[3:12])


def test_another_score_chooses_its_own_units(tmp_path: Path) -> None:
    model = small.model()
    layer = families.layers(model)[0]
    with torch.no_grad():
        layer.output.dense.weight[:, :3] *= 100
    before = kept_rows(model)
    units = Units(of=digest(model), left=LEFT)
    pruning(model, tmp_path, WANTED, units, score="magnitude").finish(model)
    torch.testing.assert_close(kept_rows(model)[:3], before[:3])
