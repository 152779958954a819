"""Hidden states and attention, compared for pairs of layers of two networks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import PreTrainedModel

from jpqd.core.errors import UserError
from jpqd.methods.distill.options import Options
from jpqd.methods.distill.teachers import Teacher
from jpqd.model import families
from jpqd.model.student import evenly, layers_of

PROJECTION = "distill_projection"
_TINY = 1e-9


class Inside:
    """Hidden states and attention of pairs of layers, one of the student, one of the teacher."""

    def __init__(
        self, method: Options, network: PreTrainedModel, teacher: Teacher, stage: str
    ) -> None:
        self.method, self.teacher = method, teacher
        if method.attention:
            _refuse_unseen_attention((network, teacher.network), stage)
        layers = layers_of(network)
        self.paired = [
            (layers[student], number) for student, number in _pairs(method, network, teacher, stage)
        ]
        self.pairs: list[tuple[int, int]] = []
        """Pairs of this pass: pruning may have taken whole layers away."""
        self.head_sizes = [families.head_size(one) for one in (network, teacher.network)]
        self.ours, self.theirs = Recorder(), Recorder()
        widths = [one.config.hidden_size for one in (network, teacher.network)]
        if method.hidden and widths[0] != widths[1]:
            network.add_module(PROJECTION, nn.Linear(*widths))
        self.handles = [
            network.register_forward_pre_hook(self._before()),
            network.register_forward_hook(self._after()),
        ]

    def _before(self) -> Callable[..., None]:
        """Functions, not bound methods: these would be copied along with a copied model."""

        def before(network: PreTrainedModel, _: Any) -> None:
            if network.training:
                places = {id(layer): place for place, layer in enumerate(layers_of(network))}
                self.pairs = [
                    (places[id(layer)], number)
                    for layer, number in self.paired
                    if id(layer) in places
                ]
                self.ours.start(network)

        return before

    def _after(self) -> Callable[..., None]:
        """The projection is a part of the forward pass: several processes share its gradient."""

        def after(network: PreTrainedModel, _: Any, out: Any) -> None:
            self.ours.stop()
            if network.training and self.method.hidden:
                with torch.autocast(out.logits.device.type, enabled=False):
                    project = getattr(network, PROJECTION, nn.Identity())
                    states = [self.ours.hidden[student].float() for student, _ in self.pairs]
                    out["hidden_states"] = tuple(project(state) for state in states)

        return after

    def compare(self, batch: Mapping[str, Tensor], out: Any) -> tuple[Tensor, Tensor]:
        """The teacher's logits of this batch, and how far the student is from it inside."""
        self.theirs.start(self.teacher.network)
        logits = self.teacher.answer(batch)
        self.theirs.stop()
        mask = batch["attention_mask"].bool()
        term = out.logits.new_zeros((), dtype=torch.float32)
        if self.method.hidden:
            term = term + self.method.hidden * self._hidden(out.hidden_states, mask)
        if self.method.attention:
            term = term + self.method.attention * self._attention(mask)
        return logits, term

    def _hidden(self, states: tuple[Tensor, ...], mask: Tensor) -> Tensor:
        terms = [
            row_mean((state - self.theirs.hidden[teacher]).square().mean(-1), mask)
            for state, (_, teacher) in zip(states, self.pairs, strict=True)
        ]
        return torch.stack(terms).mean()

    def _attention(self, mask: Tensor) -> Tensor:
        """A pair in which a layer has no head left is as good as it can be."""
        terms = [
            row_mean(self._divergence(student, teacher, mask), mask)
            for student, teacher in self.pairs
            if self.ours.has_heads(student) and self.theirs.has_heads(teacher)
        ]
        return torch.stack(terms).sum() / len(self.pairs) if terms else mask.new_zeros(()).float()

    def _divergence(self, student: int, teacher: int, mask: Tensor) -> Tensor:
        """KL(teacher || student) of where each token looks."""
        ours, theirs = (
            mean_attention(recorder.queries[layer], recorder.keys[layer], mask, size)
            for recorder, layer, size in zip(
                (self.ours, self.theirs), (student, teacher), self.head_sizes, strict=True
            )
        )
        logs = ours.clamp_min(_TINY).log()
        return functional.kl_div(logs, theirs, reduction="none").sum(-1)

    def remove(self, network: PreTrainedModel) -> None:
        """Nothing of it stays in the model."""
        for handle in self.handles:
            handle.remove()
        if hasattr(network, PROJECTION):
            delattr(network, PROJECTION)


class Recorder:
    """A record of what the layers of a network compute in one forward pass.

    Its hooks are set for each pass anew, because pruning may replace modules between two of them.
    """

    def __init__(self) -> None:
        self.hidden: dict[int, Tensor] = {}
        self.queries: dict[int, Tensor] = {}
        self.keys: dict[int, Tensor] = {}
        self.handles: list[Any] = []

    def start(self, network: PreTrainedModel) -> None:
        self.stop()
        for kept in (self.hidden, self.queries, self.keys):
            kept.clear()
        family = families.alike(network)
        for index, layer in enumerate(families.layers(network, family)):
            self._keep(layer, self.hidden, index)
            for path, kept in ((family.query, self.queries), (family.key, self.keys)):
                if (projection := families.part(layer, path)) is not None:
                    self._keep(projection, kept, index)

    def stop(self) -> None:
        for handle in self.handles:
            handle.remove()
        self.handles.clear()

    def _keep(self, module: nn.Module, kept: dict[int, Tensor], index: int) -> None:
        def keep(_: nn.Module, __: Any, output: Any) -> None:
            kept[index] = output[0] if isinstance(output, tuple) else output

        self.handles.append(module.register_forward_hook(keep))

    def has_heads(self, layer: int) -> bool:
        return layer in self.queries and self.queries[layer].shape[-1] > 0


def mean_attention(query: Tensor, key: Tensor, mask: Tensor, head_size: int) -> Tensor:
    """Return which token looks at which: the mean over the heads, however many there are."""
    q, k = (one.float().view(*one.shape[:2], -1, head_size).transpose(1, 2) for one in (query, key))
    scores: Tensor = q @ k.transpose(-1, -2) / head_size**0.5
    scores = scores.masked_fill(~mask[:, None, None, :], float("-inf"))
    return scores.softmax(-1).mean(1)


def row_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Return the mean over each row's real tokens, then over rows, however these are shared."""
    return ((values * mask).sum(1) / mask.sum(1)).mean()


def _refuse_unseen_attention(networks: tuple[PreTrainedModel, ...], stage: str) -> None:
    for network in networks:
        if not families.shows_attention(network):
            raise UserError(
                f"{stage}: distill: the attention of models of the family "
                f"{families.name(network)!r} cannot be compared. Leave attention out."
            )


def _pairs(
    method: Options, network: PreTrainedModel, teacher: Teacher, stage: str
) -> list[tuple[int, int]]:
    """Layers of the student and of the teacher, counted from 0."""
    count, total = len(layers_of(network)), len(layers_of(teacher.network))
    chosen = method.layers or evenly(count, total)
    if len(chosen) != count or max(chosen) > total:
        raise UserError(
            f"{stage}: distill: layers needs {count} numbers from 1 to {total}, one for each layer "
            f"of the student (got {list(chosen)}). Leave it out for {list(evenly(count, total))}."
        )
    return [(student, number - 1) for student, number in enumerate(chosen)]
