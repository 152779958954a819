"""Parts that quantize leaves out: these, and no others, also inside of the layers."""

from __future__ import annotations

from typing import Any

import pytest
from transformers import PreTrainedModel

from jpqd.core.errors import UserError
from jpqd.model import families
from jpqd.model.shrink import Calls
from tests.helpers import small

SCALE = "_scale_param_storage"


def quantized(model: PreTrainedModel, path: str) -> list[bool]:
    """Return for each layer whether the weight of a part of it is quantized."""
    calls = Calls(model)
    return [calls.hook(path, index, 1, SCALE) is not None for index in range(small.LAYERS)]


@pytest.mark.parametrize("family", small.FAMILIES)
def test_a_part_of_one_layer_is_left_out_and_no_other(family: str) -> None:
    model = small.model(family)
    out = families.of(model).ffn_out
    name = f"{families.layers_path(model)}.1.{out}"
    small.quantize(model, ignore=(name,))
    assert quantized(model, out) == [True, False, True]
    attention = families.of(model).attention_out
    assert quantized(model, attention) == [True, True, True]


@pytest.mark.parametrize("family", small.FAMILIES)
def test_a_whole_layer_is_left_out(family: str) -> None:
    model = small.model(family)
    family_of = families.of(model)
    small.quantize(model, ignore=(f"{families.layers_path(model).rpartition('.')[2]}.0",))
    for path in (family_of.ffn_out, *family_of.ffn_in, family_of.attention_out):
        assert quantized(model, path) == [False, True, True]


@pytest.mark.parametrize("methods", ["prune first", "quantize first"])
def test_beside_masks_it_is_the_same(methods: str) -> None:
    model = small.model()
    options: dict[str, Any] = {"ignore": ("layer.2",)}
    out = families.of(model).ffn_out
    if methods == "prune first":
        prune = small.pruning(model, 0.5, score="magnitude")
        small.quantize(model, **options)
    else:
        small.quantize(model, **options)
        prune = small.pruning(model, 0.5, score="magnitude")
    assert quantized(model, out) == [True, True, False]
    prune.finish(model)
    assert quantized(model, out) == [True, True, False]


def test_a_part_that_is_not_there_is_refused() -> None:
    with pytest.raises(UserError, match=r"ignore 'layer\.7' is not part of any module's name"):
        small.quantize(small.model(), ignore=("layer.7",))
