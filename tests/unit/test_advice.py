"""Stages that take the advice of `use: sensitivity` by its name."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import ValidationError

from jpqd.core import advice
from jpqd.core.advice import Advice
from jpqd.core.errors import UserError
from jpqd.methods.prune import Prune
from jpqd.methods.prune.attach import attach
from jpqd.methods.quantize import Quantize
from jpqd.model import shrink
from jpqd.search.space import Space
from jpqd.training.method import Training
from tests.helpers import latency, small

PART = "bert.encoder.layer.0.output.dense"


@pytest.fixture
def training(tmp_path: Path) -> Training:
    advice.save(Advice(ignore=[PART, "bert.encoder.layer.9.output.dense"], floor=0.5), tmp_path)
    made = small.training(tmp_path)
    return replace(made, ctx=replace(made.ctx, inputs={"worth": tmp_path}))


def test_prune_keeps_the_floor_that_is_advised(training: Training) -> None:
    options = {"use": "prune", "keep": 0.6, "refit": False}
    least = []
    for more in ({}, {"advice": "worth"}):
        pruning = attach(small.model(), Prune.model_validate({**options, **more}), training)
        for (layer, _), gate in pruning.structure.gates.items():
            gate.score.data.fill_(float(layer > 0))  # all units of the first layer go first
        pruning.structure.mask(0.6)
        least.append(min(float(g.mask.mean()) for g in pruning.structure.gates.values()))
    assert least[0] < 0.5 <= least[1]
    with pytest.raises(UserError, match=r"ceiling 0\.4 is below the floor"):
        attach(small.model(), Prune.model_validate({**options, "advice": "worth", "ceiling": 0.4}),
               training)  # fmt: skip


def test_quantize_leaves_out_what_this_model_has_of_it(training: Training) -> None:
    given = Quantize.model_validate({"use": "quantize", "advice": "worth", "ignore": ["pooler"]})
    assert given._advised(small.model(), training).ignore == ("pooler", PART)
    assert given.inputs() == ("worth",)


def test_a_search_goes_no_lower() -> None:
    model = small.model()
    sizes, table = tuple(shrink.sizes(model)), latency.table(model)
    low, high = (Space(sizes, table, "int8", floor).structure(
        Space(sizes, table, "int8", floor).least) for floor in (0.0, 0.5))  # fmt: skip
    assert low == ((0, 0),) * small.LAYERS
    assert all(heads >= small.HEADS / 2 and neurons >= small.NEURONS / 2 for heads, neurons in high)


@pytest.mark.parametrize("more", [{"floor": 0.1}, {"structure": "layers"}])
def test_keys_that_do_not_go_together_are_refused(more: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match="advice"):
        Prune.model_validate({"use": "prune", "keep": 0.5, "advice": "worth", **more})
