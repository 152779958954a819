"""Output projections solved again after a cut, so that what is left says what the whole said.

From the first layer to the last: the projection behind the heads, then the one behind the neurons,
by least squares on what they read in the cut model. It takes no labels and no steps of training.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import Cache, PreTrainedModel

from jpqd.core.progress import Progress
from jpqd.data.batching import Batch
from jpqd.model import families
from jpqd.model.described import Family
from jpqd.model.shrink import Calls

_TOKENS = 100_000
"""More than enough for a projection, which has a few thousand inputs at the most."""
_RIDGE = 1e-2
"""The pull towards the old weights, as a share of the mean power of the inputs."""


def whole_layers(model: PreTrainedModel) -> list[nn.Module]:
    """Copy the layers before they are cut. They work by themselves, without NNCF's hooks."""
    whole = copy.deepcopy(families.layers(model))
    _smooth(model, whole)
    return list(whole.eval())


@torch.no_grad()
def refit(
    model: PreTrainedModel,
    whole: Sequence[nn.Module],
    batches: Iterable[Batch],
    progress: Progress | None = None,
    *,
    bf16: bool = False,
) -> list[nn.Parameter]:
    """Solve every layer's output projections again, and return the weights that changed.

    With `bf16` the layers multiply as they do in training; what is solved is in f64 all the same.
    """
    count = progress.counting("    solved", "layers", len(whole)) if progress else None
    layers = families.layers(model)
    modes = [(module, module.training) for module in model.modules()]
    model.train(False)
    texts = list(_texts(model, batches))
    smoothing = _smooth(model, layers)
    changed: list[nn.Parameter] = []
    for index, uncut in enumerate(whole):
        changed += _Layer(model, index, uncut, bf16).refit(texts)
        if count is not None:
            count(1)
    for handle in smoothing:
        handle.remove()
    for module, was in modes:
        module.training = was
    return changed


def _smooth(model: PreTrainedModel, layers: nn.ModuleList) -> list[Any]:
    """Apply the scales of SmoothQuant, which NNCF applies only while the whole model runs."""
    calls, family = Calls(model), families.of(model)
    outs = (family.attention_out, family.ffn_out)
    paths = [path for out in outs for path in (*families.feeding(model, out), out)]
    handles = []
    for index, layer in enumerate(layers):
        for path in paths:
            hook, part = calls.hook(path, index, 0, "_scale_value"), families.part(layer, path)
            if hook is not None and part is not None:
                times = _times(hook._scale_value.detach().clone())
                handles.append(part.register_forward_pre_hook(times))
    return handles


def _times(scale: Tensor) -> Any:
    return lambda _, given: (given[0] * scale, *given[1:])


# Texts, on their way through the layers.


@dataclass
class _Text:
    whole: Tensor
    """The input of the next layer in the model before the cut, ..."""
    cut: Tensor
    """... and in the one after it."""
    real: Tensor
    """The tokens that are not padding."""
    given: dict[str, tuple[tuple[Any, ...], dict[str, Any]]]
    """The other arguments of a layer, by its kind: a window of attention, or all of it."""


class _Reached(Exception):
    """All that is wanted of a call has been seen."""


def _forgetful(argument: Any) -> Any:
    """Leave a cache out: a layer that is called again would find its first call there."""
    return None if isinstance(argument, Cache) else argument


def _kinds(model: PreTrainedModel) -> list[str]:
    """Return the kind of each layer. Those of one kind are given the same masks."""
    return getattr(model.config, "layer_types", None) or [""] * len(families.layers(model))


def _texts(model: PreTrainedModel, batches: Iterable[Batch]) -> Iterator[_Text]:
    """Catch what the layers are given for each batch, until there are enough tokens."""
    kinds, layers = _kinds(model), families.layers(model)
    firsts = {kinds.index(kind): kind for kind in kinds}
    caught: dict[str, Any] = {}

    def catch(kind: str, is_last: bool) -> Any:
        def note(_: nn.Module, given: tuple[Any, ...], named: dict[str, Any]) -> None:
            caught[kind] = (
                [_forgetful(one) for one in given],
                {name: _forgetful(one) for name, one in named.items()},
            )
            if is_last:
                raise _Reached

        return note

    tokens = 0
    handles = [
        layers[index].register_forward_pre_hook(catch(kind, index == max(firsts)), with_kwargs=True)
        for index, kind in firsts.items()
    ]
    try:
        for features in batches:
            with suppress(_Reached):
                model(**features)
            hidden, real = caught[kinds[0]][0][0], features["attention_mask"].bool()
            given = {kind: (tuple(rest[1:]), named) for kind, (rest, named) in caught.items()}
            yield _Text(hidden, hidden, real, given)
            tokens += int(real.sum())
            if tokens > _TOKENS:
                return
    finally:
        for handle in handles:
            handle.remove()


# One layer.


class _Layer:
    """A layer that was cut, beside what it was before."""

    def __init__(self, model: PreTrainedModel, index: int, whole: nn.Module, bf16: bool) -> None:
        self.autocast = torch.autocast(model.device.type, torch.bfloat16, enabled=bf16)
        self.family: Family = families.of(model)
        self.cut, self.whole = families.layers(model)[index], whole
        self.index, self.calls, self.kind = index, Calls(model), _kinds(model)[index]

    def refit(self, texts: Sequence[_Text]) -> list[nn.Parameter]:
        """Solve both projections, then send the texts on to the next layer."""
        family = self.family
        wanted = []
        for text in texts:
            with _Seen(self.whole, family) as seen:
                out = self._call(self.whole, text.whole, text)
            first, second = (self._residual(seen, text.whole, of_heads=of) for of in (True, False))
            wanted.append((first + seen.attended, second + seen.fed))
            text.whole = out
        changed = self._solve(texts, family.attention_out, [sums[0] for sums in wanted])
        changed += self._solve(texts, family.ffn_out, [sums[1] for sums in wanted])
        for text in texts:
            text.cut = self._call(self.cut, text.cut, text)
        return changed

    def _solve(
        self, texts: Sequence[_Text], path: str, wanted: Sequence[Tensor]
    ) -> list[nn.Parameter]:
        """Find the weights whose output, with the residual, is nearest to what is wanted."""
        projection: Any = self.cut.get_submodule(path)
        weight, bias = getattr(projection, "weight", None), projection.bias
        if weight is None and bias is None:
            return []
        is_attention = path == self.family.attention_out
        squares: Any = 0.0
        products: Any = 0.0
        for text, target in zip(texts, wanted, strict=True):
            with _Seen(self.cut, self.family, attention_only=is_attention) as seen:
                self._call(self.cut, text.cut, text)
            read = seen.read_attention if is_attention else seen.read_ffn
            beside = self._residual(seen, text.cut, of_heads=is_attention)
            width = 0 if weight is None else weight.shape[1]
            inputs = read[text.real][:, :width]
            if bias is not None:
                inputs = nn.functional.pad(inputs, (0, 1), value=1.0)
            squares = squares + (inputs.T @ inputs).double()
            products = products + (inputs.T @ (target - beside)[text.real]).double()
        there = [part for part in (weight, bias) if part is not None]
        old = torch.cat([weight.T if part is weight else bias[None] for part in there])
        new = nearest(squares, products, old.double())
        if bias is not None:
            bias.copy_(new[-1])
        if weight is not None:  # else no unit is left, and the bias is all there is
            weight.copy_(new[: weight.shape[1]].T)
            self._scale(path, weight)
        return there

    def _call(self, layer: nn.Module, hidden: Tensor, text: _Text) -> Tensor:
        rest, named = text.given[self.kind]
        with self.autocast:
            out = layer(hidden, *rest, **named)
        found: Tensor = out[0] if isinstance(out, tuple) else out
        return found

    def _residual(self, seen: _Seen, hidden: Tensor, *, of_heads: bool) -> Tensor:
        """Return what the output of the heads, or of the neurons, is added to at once."""
        if self.family.norms == "around":  # what is added to is added to after a normalization
            return torch.zeros_like(hidden)
        if of_heads:
            return hidden
        return seen.between if self.family.norms == "after" else hidden + seen.attended

    def _scale(self, path: str, weight: Tensor) -> None:
        """Give the quantizer of the weights the range that they have now."""
        quantizer = self.calls.hook(path, self.index, 1, "_scale_param_storage")
        if quantizer is not None:
            scale = quantizer._scale_param_storage
            top = weight.abs().amax(1, keepdim=True) if scale.numel() > 1 else weight.abs().max()
            scale.data.copy_(top.view_as(scale))


def nearest(squares: Tensor, products: Tensor, old: Tensor) -> Tensor:
    """Solve least squares, with a pull towards the old weights where the inputs say little."""
    strength = pull(squares)
    squares.diagonal().add_(strength)
    solved: Tensor = torch.linalg.solve(squares, products + strength * old)
    return solved


def pull(squares: Tensor) -> Tensor:
    """Return the strength of the pull towards the old weights."""
    return _RIDGE * squares.diagonal().mean()


class _Seen:
    """The tensors that pass through a layer while it is called."""

    attended: Tensor
    """The sum that its attention adds to the residual, ..."""
    fed: Tensor
    """... and the one of its neurons."""
    read_attention: Tensor
    read_ffn: Tensor
    between: Tensor
    """The input of its neurons."""

    def __init__(self, layer: nn.Module, family: Family, *, attention_only: bool = False) -> None:
        """Watch a layer; `attention_only` stops it behind the output of its heads."""
        self.attention_only = attention_only
        parts = (family.attention_out, family.ffn, family.ffn_out)
        names = (("read_attention", "attended"), ("between", "_"), ("read_ffn", "fed"))
        self.handles = [
            layer.get_submodule(path).register_forward_hook(self._keep(*kept))
            for path, kept in zip(parts, names, strict=True)
        ]

    def _keep(self, read: str, said: str) -> Any:
        def keep(_: nn.Module, given: tuple[Tensor, ...], out: Tensor) -> None:
            setattr(self, read, given[0].float())
            setattr(self, said, out.float())
            if self.attention_only and said == "attended":
                raise _Reached

        return keep

    def __enter__(self) -> _Seen:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> bool:
        for handle in self.handles:
            handle.remove()
        return kind is _Reached
