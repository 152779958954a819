"""A cut model is the masked model: its logits, its quantizers, its folder and its INT8 IR."""

from __future__ import annotations

import functools
from copy import deepcopy
from pathlib import Path
from typing import Any

import openvino as ov
import pytest
import torch
from nncf.torch.function_hook import get_hook_storage
from optimum.exporters.tasks import TasksManager
from transformers import PreTrainedModel

from jpqd.model import described, families, loading, shrink
from jpqd.model import structure as saved
from jpqd.model.quantizers import Symmetric
from jpqd.model.shrink import HOOKS
from tests.helpers import small

KEPT = [((), (0, 3, 5, 9, 20)), ((1, 3), ()), ((0, 2, 3), (1, 2, 4, 8, 16, 17, 23))]
"""Heads and neurons of three layers. What stands still comes before what lives."""
SHAPE = [(0, 5), (2, 0), (3, 7)]


@functools.cache
def pair(
    family: str, quantized: bool, smooth: float = 0.0
) -> tuple[PreTrainedModel, PreTrainedModel]:
    """The same model with closed gates, and cut."""
    whole = small.model(family)
    structure: Any = small.pruning(whole, 0.5).structure
    if quantized:
        small.quantize(whole, smooth_quant=smooth)
    arch = families.of(whole)
    for index, (heads, neurons) in enumerate(KEPT):
        for path, members in ((arch.attention_out, heads), (arch.ffn_out, neurons)):
            gate = structure.gates[index, path].mask
            gate.zero_()
            gate[0, list(members)] = 1
    masked = deepcopy(whole)
    structure.cut()
    return masked, whole


@pytest.fixture(params=small.FAMILIES)
def family(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


def test_the_cut_model_says_what_the_masked_one_said(family: str) -> None:
    masked, cut = pair(family, quantized=False)
    assert shrink.sizes(cut) == SHAPE
    assert sum(p.numel() for p in cut.parameters()) < sum(p.numel() for p in masked.parameters())
    given = small.batch(64)
    expected = small.logits(masked, given)
    torch.testing.assert_close(small.logits(cut, given), expected, atol=1e-5, rtol=0)
    assert expected.std(0).min() > 0.05  # logits that differ from row to row


@pytest.mark.parametrize("smooth", [0.0, 0.8])
def test_with_quantizers_it_says_the_same_but_for_ties(family: str, smooth: float) -> None:
    """What a closed gate leaves in a row of zeros, its quantizer leaves too."""
    masked, cut = pair(family, quantized=True, smooth=smooth)
    given = small.batch(64)
    expected, found = small.logits(masked, given), small.logits(cut, given)
    assert torch.equal(found.argmax(1), expected.argmax(1))
    assert (found - expected).abs().max() < 0.02 * expected.abs().max()


def test_the_scales_of_the_rows_that_stay_are_the_same(family: str) -> None:
    masked, cut = pair(family, quantized=True)
    arch = families.of(cut)
    before, after = (shrink.Calls(each) for each in (masked, cut))
    head = families.head_size(cut)
    rows = [head * number + row for number in KEPT[2][0] for row in range(head)]
    for path, kept in ((arch.query, rows), (arch.value, rows), (arch.ffn_in[0], list(KEPT[2][1]))):
        whole, part = (calls.hook(path, 2, 1, "scale") for calls in (before, after))
        assert part.scale.shape == (len(kept), 1)
        assert torch.equal(part.scale, whole.scale[kept])
    columns = after.hook(arch.ffn_out, 2, 1, "scale")
    assert columns.scale.shape == (32, 1)


def called_hooks(cut: PreTrainedModel) -> set[str]:
    called: set[str] = set()
    handles = [
        hook.register_forward_hook(lambda *_, name=name: called.add(name))
        for name, hook in get_hook_storage(cut).named_hooks()
    ]
    small.logits(cut, small.batch())
    for handle in handles:
        handle.remove()
    return called


def test_no_hook_is_left_that_the_smaller_model_does_not_call(family: str) -> None:
    _, cut = pair(family, quantized=True)
    assert called_hooks(cut) == set(dict(get_hook_storage(cut).named_hooks()))


@pytest.mark.parametrize("quantized", [False, True])
def test_a_folder_gives_the_same_logits_and_trains(
    family: str, quantized: bool, tmp_path: Path
) -> None:
    _, cut = pair(family, quantized)
    saved.save(cut, tmp_path)
    loaded = loading.load(tmp_path)
    assert shrink.sizes(loaded) == SHAPE
    assert shrink.heads_kept(loaded) == [heads for heads, _ in KEPT]
    given = small.batch(16)
    assert torch.equal(small.logits(loaded, given), small.logits(cut, given))
    before = small.loss(loaded)
    for _ in range(8):
        small.train_step(loaded)
    assert small.loss(loaded) < before


def test_a_second_cut_numbers_heads_as_the_first_model_did(family: str, tmp_path: Path) -> None:
    cut = deepcopy(pair(family, quantized=True)[1])
    shrink.cut(cut, [shrink.Kept((), (0, 4)), shrink.Kept((1,), ()), shrink.Kept((0, 2), ())])
    assert shrink.heads_kept(cut) == [(), (3,), (0, 3)]
    assert shrink.sizes(cut) == [(0, 2), (1, 0), (2, 0)]
    saved.save(cut, tmp_path)
    given = small.batch(16)
    assert torch.equal(small.logits(loading.load(tmp_path), given), small.logits(cut, given))


def parts(kept: list[tuple[tuple[int, ...], tuple[int, ...]]]) -> list[shrink.Kept]:
    return [shrink.Kept(*members) for members in kept]


def test_two_cuts_are_one_cut(family: str) -> None:
    once, twice = small.model(family), small.model(family)
    shrink.cut(once, parts([((0,), (1, 5)), ((3,), (2,)), ((), (0, 9))]))
    shrink.cut(twice, parts([((0, 1), (0, 1, 5)), ((1, 2, 3), (2, 3)), ((0, 2), (0, 9))]))
    shrink.cut(twice, parts([((0,), (1, 2)), ((2,), (0,)), ((), (0, 1))]))
    given = small.batch(16)
    assert shrink.heads_kept(twice) == shrink.heads_kept(once) == [(0,), (3,), ()]
    assert torch.equal(small.logits(twice, given), small.logits(once, given))


def two_layers(family: str) -> list[int]:
    """Layers that can stay: the last ones, if the first one can go."""
    return [0, 2] if described.ENCODERS[family].first_differs else [1, 2]


@pytest.mark.parametrize("quantized", [False, True])
def test_heads_and_layers_go_in_any_order(family: str, quantized: bool) -> None:
    heads_first = deepcopy(pair(family, quantized)[1])
    layers_first = small.quantize(small.model(family)) if quantized else small.model(family)
    stay = two_layers(family)
    shrink.drop_layers(heads_first, stay)
    shrink.drop_layers(layers_first, stay)
    shrink.cut(layers_first, parts([KEPT[layer] for layer in stay]))
    heads = [KEPT[layer][0] for layer in stay]
    assert shrink.heads_kept(heads_first) == shrink.heads_kept(layers_first) == heads
    given = small.batch(16)
    found, expected = small.logits(heads_first, given), small.logits(layers_first, given)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


def test_layers_that_go_take_their_quantizers_along(family: str, tmp_path: Path) -> None:
    cut, path = small.quantize(small.model(family)), described.ENCODERS[family].ffn_out
    scales = [shrink.Calls(cut).hook(path, n, 1, "scale").scale.clone() for n in two_layers(family)]
    outside = {name for name in called_hooks(cut) if "/embedding/" in name}
    shrink.drop_layers(cut, two_layers(family))
    after = shrink.Calls(cut)
    for number, scale in enumerate(scales):
        assert torch.equal(after.hook(path, number, 1, "scale").scale, scale)
    assert called_hooks(cut) == set(dict(get_hook_storage(cut).named_hooks())) >= outside
    saved.save(cut, tmp_path)
    given = small.batch(16)
    assert torch.equal(small.logits(loading.load(tmp_path), given), small.logits(cut, given))


def converted(cut: PreTrainedModel, given: small.Batch) -> Any:
    """As the export does it: inside optimum's patches, and traced once."""
    import export.families  # noqa: F401 - registers the exporters
    from export.convert import _traced

    cut = deepcopy(cut)
    constructor = TasksManager.get_exporter_config_constructor(
        model=cut, exporter="openvino", task="text-classification", library_name="transformers"
    )
    with torch.no_grad(), constructor(cut.config).patch_model_for_export(cut):
        ir = ov.convert_model(_traced(cut, given), example_input=given)
    return ov.Core().compile_model(ir, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})


def test_its_ir_says_the_same(family: str) -> None:
    _, cut = pair(family, quantized=True)
    compiled = converted(cut, small.batch(4))
    wrong, gaps = 0, []
    for length in (12, 31):
        given = small.batch(64, length, seed=length)
        expected = small.logits(cut, given)
        inputs = {name: given[name].numpy() for port in compiled.inputs
                  for name in port.names if name in given}  # fmt: skip
        found = torch.from_numpy(compiled(inputs)[0])
        wrong += int((found.argmax(1) != expected.argmax(1)).sum())
        gaps.append((found - expected).abs().median() / expected.std())
    assert wrong <= 2
    assert max(gaps) < 0.02
    assert any(isinstance(hook, Symmetric) for hook in getattr(cut, HOOKS).modules())


def test_gated_layers_leave_no_quantizer_that_nobody_calls(tmp_path: Path) -> None:
    """Gates between layers compute too, and what they compute is quantized until they go."""
    cut = small.model()
    structure: Any = small.pruning(cut, 0.5, structure="layers", score="magnitude").structure
    small.quantize(cut)
    structure.mask(0.67)
    masked = small.logits(cut, small.batch())
    structure.cut()
    assert called_hooks(cut) == set(dict(get_hook_storage(cut).named_hooks()))
    found = small.logits(cut, small.batch())
    assert (found - masked).abs().max() < 0.05 * masked.abs().max()
    saved.save(cut, tmp_path)
    assert torch.equal(small.logits(loading.load(tmp_path), small.batch()), found)
