"""Which weights decay, against the rule of transformers, and what the optimizer is made of."""

import pytest
from torch import nn
from transformers.trainer_pt_utils import get_parameter_names

from jpqd.model import shrink
from jpqd.stages.train import Train
from jpqd.training import averaging, optimizing, steps
from tests.helpers import small

PATTERNS = [r"bias", r"layernorm", r"rmsnorm", r"(?:^|\.)norm(?:$|\.)", r"_norm(?:$|\.)"]
"""As `Trainer.get_decay_parameter_names` has them."""
STAGE = Train(use="train", weight_decay=0.1)


@pytest.mark.parametrize("family", small.FAMILIES)
def test_the_weights_that_decay_are_those_of_a_trainer_without_quantizers(family: str) -> None:
    model = small.quantize(small.model(family))
    theirs = get_parameter_names(model, [nn.LayerNorm], PATTERNS)
    expected = {name for name in theirs if shrink.HOOKS not in name}
    optimizer, _ = optimizing.build(STAGE, model, steps.of(STAGE, rows=64))
    names = {weight: name for name, weight in averaging.trained(model)}
    decaying, spared = (
        {names[weight] for weight in group["params"]} for group in optimizer.param_groups
    )
    assert decaying == expected & set(names.values())
    assert decaying | spared == set(names.values())
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.1, 0.0]


def test_a_constant_rate_warms_up_as_well() -> None:
    stage = Train(use="train", epochs=10, batch_size=8, schedule="constant", warmup=0.1)
    model = nn.Linear(2, 2)
    optimizer, schedule = optimizing.build(stage, model, steps.of(stage, rows=80))
    rates = []
    for _ in range(20):
        rates.append(schedule.get_last_lr()[0] / stage.learning_rate)
        optimizer.step()
        schedule.step()
    assert rates[:10] == pytest.approx([step / 10 for step in range(10)])
    assert rates[10:] == [1.0] * 10
