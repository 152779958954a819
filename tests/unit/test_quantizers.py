"""Fast fake-quantizers against NNCF's, torch's and a straight-through reference in autograd."""

from __future__ import annotations

import functools
from copy import deepcopy
from typing import Any

import pytest
import torch
from nncf.torch.function_hook import get_hook_storage
from nncf.torch.quantization.extensions import QuantizedFunctionsCPU
from nncf.torch.quantization.layers import AsymmetricQuantizer, SymmetricQuantizer
from nncf.torch.quantization.reference import ReferenceQuantizedFunctions
from torch import Tensor

from jpqd.model import levels, quantizers
from jpqd.model.levels import Grid, Shifted, Signed
from jpqd.model.quantizers import Asymmetric, Embedding, Symmetric
from jpqd.model.shrink import HOOKS
from tests.helpers import small

PRESETS: dict[str, dict[str, Any]] = {
    "mixed": {},
    "performance": {"preset": "performance"},
    "overflow_fix": {"overflow_fix": True},
}


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """NNCF's own quantizers in plain torch, so that no test waits for a compiler."""
    monkeypatch.setattr(QuantizedFunctionsCPU, "_loaded_namespace", ReferenceQuantizedFunctions)


def refuse(name: str) -> None:
    raise AssertionError(f"NNCF's compiled {name} is asked for")


@functools.cache
def model(options: str = "mixed") -> Any:
    """Placed once: tests of whole steps work on copies of it."""
    return small.quantize(small.model(), **PRESETS[options])


def found(options: str = "mixed") -> list[Any]:
    kinds = (Symmetric, Asymmetric)
    all_hooks = [hook for _, hook in get_hook_storage(model(options)).named_hooks()]
    hooks = [hook for hook in all_hooks if isinstance(hook, kinds)]
    assert len(hooks) > 8 * small.LAYERS
    return hooks


def values(hook: Any) -> Tensor:
    """Inside the range of a quantizer and beyond it."""
    torch.manual_seed(7)
    if isinstance(hook, Asymmetric):
        low, span = hook.input_low.item(), hook.input_range.item()
        return low + span * (torch.rand(20000) * 1.4 - 0.2)
    scale = hook.scale.detach().abs()
    return (torch.rand(max(len(scale), 1), 4000) * 2.6 - 1.3) * scale


def fake(hook: Any, x: Tensor) -> Tensor:
    """What a model computes, without the memory of a tensor that others read too."""
    found: Tensor = hook.fake(x) if isinstance(hook, Asymmetric) else hook.fake(x, hook.scale)
    return found


def slow_twin(hook: Any) -> Any:
    kind = AsymmetricQuantizer if isinstance(hook, Asymmetric) else SymmetricQuantizer
    twin = kind.from_config(hook.get_config())
    twin.load_state_dict(hook.state_dict())
    return twin


def assert_same_but_for_ties(ours: Tensor, theirs: Tensor, step: Tensor) -> None:
    """A tie of rounding may fall to either side: one step, for few elements."""
    gap = (ours - theirs).abs() / step
    assert gap.max() < 1.001
    assert (gap > 1e-3).float().mean() < 1e-3


def step_of(hook: Any) -> Tensor:
    if isinstance(hook, Asymmetric):
        return torch.tensor(hook.grid(hook.input_low.item(), hook.input_range.item()).step)
    step: Tensor = hook.scale.detach() / hook.levels_used()[0]
    return step


@pytest.mark.parametrize("options", PRESETS)
@pytest.mark.usefixtures("slow")
def test_levels_are_those_of_nncf(options: str) -> None:
    """But for one level of narrow weights, which the export has and NNCF's training lacks."""
    for hook in found(options):
        x = values(hook)
        if isinstance(hook, Symmetric) and hook.narrow_range and not hook.is_half_range:
            x = x.maximum(-hook.scale.detach())
        assert_same_but_for_ties(fake(hook, x), slow_twin(hook)(x), step_of(hook))


@pytest.mark.parametrize("options", ["mixed", "performance"])
def test_levels_are_those_of_torch(options: str) -> None:
    for hook in found(options):
        low, high, scale, zero = hook.get_parameters_for_torch_fq()
        x = values(hook)
        if isinstance(hook, Symmetric) and hook.per_channel:
            theirs = torch.fake_quantize_per_channel_affine(x, scale, zero, 0, low, high)
        else:
            theirs = torch.fake_quantize_per_tensor_affine(x, scale, zero, low, high)
        assert_same_but_for_ties(fake(hook, x), theirs, step_of(hook))


def rounded(x: Tensor) -> Tensor:
    """Straight through: the gradient of a round is one."""
    return x + (x.round() - x).detach()


def signed_reference(x: Tensor, step: Tensor, low: int, high: int) -> Tensor:
    return rounded(x / step).clamp(low, high) * step


@pytest.fixture(params=["whole", "in pieces"])
def taken(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tensors of tests are smaller than a piece."""
    if request.param == "in pieces":
        monkeypatch.setattr(levels, "_PIECE", 700)


@pytest.mark.usefixtures("taken")
@pytest.mark.parametrize("steps", [1, 5])
def test_the_gradients_of_signed_are_those_of_a_straight_through_round(steps: int) -> None:
    torch.manual_seed(0)
    x = (torch.randn(300, 5) * 2).T  # as a transposition leaves it
    shape = (5, 1) if steps > 1 else (1,)
    step = torch.rand(shape) * 0.01 + 0.01
    grads = []
    for function in (
        lambda x, step: Signed.apply(x, step * 127, 0.0, 127, (-128, 127)),
        lambda x, step: signed_reference(x, step, -128, 127),
    ):
        one, other = x.clone().requires_grad_(), step.clone().requires_grad_()
        (function(one, other) * torch.linspace(-1, 1, 300)).sum().backward()
        assert one.grad is not None
        assert 0.3 < (one.grad == 0).float().mean() < 0.7  # some are clamped
        grads.append((one.grad, other.grad))
    torch.testing.assert_close(grads[0], grads[1], rtol=1e-4, atol=1e-4)


@pytest.mark.usefixtures("taken")
def test_the_gradients_of_shifted_are_those_of_a_straight_through_round() -> None:
    """For a range with zero among its levels, which therefore is not moved first."""
    torch.manual_seed(0)
    x = torch.randn(3, 10, 100)
    step, zero = 0.01, 70
    low, span = torch.tensor([-zero * step]), torch.tensor([255 * step])
    grads = []
    for fast in (True, False):
        leaves = [part.clone().requires_grad_() for part in (x, low, span)]
        if fast:
            out = Shifted.apply(*leaves, Grid(step, zero, (0, 255)))
        else:
            one, bottom, whole = leaves
            width = whole / 255
            out = bottom + rounded((one - bottom) / width).clamp(0, 255) * width
        (out * torch.linspace(-1, 2, 3000).view_as(x)).sum().backward()
        grads.append([leaf.grad for leaf in leaves])
    torch.testing.assert_close(grads[0], grads[1], rtol=1e-3, atol=2e-3)
    assert all(part is not None and part.abs().max() > 0.1 for part in grads[0])


def test_levels_under_autocast_are_those_of_f32() -> None:
    """bf16 cannot tell 256 levels apart; what leaves may be bf16, after the level is found."""
    for hook in found():
        x = values(hook)
        exact = fake(hook, x)
        with torch.autocast("cpu", torch.bfloat16):
            out = fake(hook, x)
        assert out.dtype == torch.bfloat16
        assert torch.equal(out, exact.bfloat16())


def test_rows_that_are_looked_up_are_those_of_the_whole_table() -> None:
    hooks = [hook for hook in found() if isinstance(hook, Embedding)]
    table = model().bert.embeddings.word_embeddings
    (hook,) = [h for h in hooks if len(h.scale) == small.WORDS]
    ids = torch.tensor([[5, 9, 5], [0, 199, 7]])
    with torch.no_grad():
        looked_up = table(ids)
        assert torch.equal(looked_up, hook.fake(table.weight, hook.scale)[ids])
        assert not torch.equal(looked_up, table.weight[ids])


def test_query_key_and_value_share_one_quantizer_which_computes_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    storage = get_hook_storage(model())
    all_names = [(n, h) for n, h in storage.named_hooks(remove_duplicate=False)]
    shared = [h for n, h in all_names if "query" in n and isinstance(h, Asymmetric)]
    assert len(shared) == small.LAYERS
    assert all(hook.readers == 3 for hook in shared)
    computed: list[Any] = []
    fake = Asymmetric.fake

    def noted(self: Asymmetric, x: Tensor) -> Tensor:
        computed.append(self)
        return fake(self, x)

    monkeypatch.setattr(Asymmetric, "fake", noted)
    small.logits(model(), small.batch())
    assert [computed.count(hook) for hook in shared] == [1] * small.LAYERS
    assert all(hook.last is None for hook in shared)  # nothing of the batch stays in memory


@pytest.mark.parametrize("options", PRESETS)
def test_placing_and_training_compile_nothing(
    options: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """NNCF's own quantizers would, at the first step, on a machine that may lack a compiler."""
    with monkeypatch.context() as patch:
        patch.setattr(QuantizedFunctionsCPU, "get", refuse)
        trained = small.quantize(small.model(), **PRESETS[options])
        before = small.loss(trained)
        small.train_step(trained)
        assert small.loss(trained) != before


def test_every_quantizer_learns() -> None:
    trained = deepcopy(model())
    trained.train()
    trained(**small.batch(), labels=small.LABELS).loss.backward()
    for name, parameter in trained.named_parameters():
        if name.startswith(HOOKS) and parameter.requires_grad:
            assert parameter.grad is not None, name
            assert parameter.grad.shape == parameter.shape


def test_settled_weights_lie_on_their_levels_and_predict_the_same() -> None:
    made = small.quantize(small.model())
    before = {name: value.clone() for name, value in made.state_dict().items()}
    expected = small.logits(made, small.batch())
    quantizers.settle(made, small.batch())
    assert torch.equal(small.logits(made, small.batch()), expected)
    changed = {n for n, value in made.state_dict().items() if not torch.equal(value, before[n])}
    linears = {n for n, module in made.named_modules() if isinstance(module, torch.nn.Linear)}
    embeddings = {n for n, module in made.named_modules() if isinstance(module, torch.nn.Embedding)}
    assert changed == {f"{name}.weight" for name in linears | embeddings}
    weight = made.get_parameter("bert.encoder.layer.1.output.dense.weight")
    assert max(len(row.unique()) for row in weight) <= 255
