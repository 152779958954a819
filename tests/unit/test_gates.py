"""Scores against autograd, norms and each other: what says which units stay."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.func import functional_call

from jpqd.methods.prune import unstructured
from jpqd.methods.prune.gates import ALL, LEARNT, change, on
from jpqd.methods.prune.heads_ffn import HeadsFfn
from jpqd.model import families
from tests.helpers import small

HEAD = 8
"""Hidden size 32, four heads."""
OUT = ("attention.output.dense", "output.dense")


def masked_loss(model: Any, masks: dict[str, torch.Tensor]) -> torch.Tensor:
    """The loss of a model whose weights are multiplied by mask variables, without any hooks."""
    weights = dict(model.named_parameters())
    for name, mask in masks.items():
        width = HEAD if "attention" in name else 1
        weights[name] = weights[name].detach() * mask.repeat_interleave(width, 1)
    out = functional_call(model, weights, kwargs=small.batch())
    return nn.functional.cross_entropy(out.logits, small.LABELS)


def by_autograd() -> dict[str, torch.Tensor]:
    """The gradient of each mask variable."""
    model = small.model(hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    masks = {
        f"bert.encoder.layer.{index}.{path}.weight": torch.ones(
            1, small.HEADS if "attention" in path else small.NEURONS, requires_grad=True
        )
        for index in range(small.LAYERS)
        for path in OUT
    }
    masked_loss(model, masks).backward()
    return {name: mask.grad for name, mask in masks.items() if mask.grad is not None}


def learnt(structure: str, score: str, steps: int = 1) -> Any:
    """A structure whose gates have seen that many steps of the same batch."""
    model = small.model(hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    found = small.pruning(model, 0.5, structure=structure, score=score).structure
    model.train()
    for _ in range(steps):
        loss = nn.functional.cross_entropy(model(**small.batch()).logits, small.LABELS)
        loss.backward()
    return found


@pytest.mark.parametrize("score", LEARNT)
def test_a_gate_learns_what_autograd_says_of_a_mask(score: str) -> None:
    expected = by_autograd()
    found = learnt("heads_ffn", score, steps=2)
    assert len(found.gates) == len(expected) == 2 * small.LAYERS
    for (index, path), gate in found.gates.items():
        gradient = expected[f"bert.encoder.layer.{index}.{path}.weight"]
        torch.testing.assert_close(gate.score, 2 * change(score, gradient), rtol=1e-3, atol=1e-7)
        assert gradient.abs().max() > 1e-5


def test_what_a_step_adds_to_each_score() -> None:
    """Movement: a weight that grows in size under gradient descent gains, as its paper has it."""
    gradient = torch.tensor([2.0, -3.0])
    assert change("fisher", gradient).tolist() == [4.0, 9.0]
    assert change("taylor", gradient).tolist() == [2.0, 3.0]
    weight = torch.tensor([0.5, -2.0], requires_grad=True)
    gate = on(torch.ones(1, 2), (ALL, 1), "movement")
    (gate(weight) * torch.tensor([1.0, -4.0])).sum().backward()
    assert weight.grad is not None
    moved = weight.detach() - 0.1 * weight.grad
    grows = moved.abs() > weight.detach().abs()
    assert (gate.score[0] > 0).tolist() == grows.tolist() == [False, False]
    assert gate.score[0].tolist() == (-weight.grad * weight.detach()).tolist()


def test_gates_learn_only_while_training() -> None:
    model = small.model()
    found: Any = small.pruning(model, 0.5).structure
    model.train(False)
    model(**small.batch()).logits.sum().backward()
    assert all(not gate.score.any() for gate in found.gates.values())


@pytest.mark.parametrize(("norm", "power"), [("l1", 1), ("l2", 2)])
def test_the_magnitude_of_a_unit_is_the_norm_of_all_its_weights(norm: str, power: int) -> None:
    model = small.model()
    found: Any = small.pruning(model, 0.5, score="magnitude", norm=norm).structure
    layer: Any = families.layers(model)[1]
    attention = layer.attention
    head = torch.cat(
        [
            part.weight[2 * HEAD : 3 * HEAD].flatten()
            for part in (attention.self.query, attention.self.key, attention.self.value)
        ]
        + [attention.output.dense.weight[:, 2 * HEAD : 3 * HEAD].flatten()]
    )
    neuron = torch.cat([layer.intermediate.dense.weight[7], layer.output.dense.weight[:, 7]])
    for path, number, weights in ((OUT[0], 2, head), (OUT[1], 7, neuron)):
        scores = found.worth(1, path)
        assert scores[number] == pytest.approx(weights.norm(power).item(), rel=1e-5)


@pytest.mark.parametrize(("score", "power"), [("fisher", 1), ("taylor", 0.5)])
def test_a_head_competes_with_the_neurons_of_its_size(score: str, power: float) -> None:
    """Where gradients are noise their squares grow as the size, and their absolutes as its root."""
    found = learnt("heads_ffn", score)
    worth = []
    for (index, path), gate in found.gates.items():
        gate.score.fill_(found.costs[path] ** power)
        worth += found._comparable(index, path, gate).tolist()
    assert worth == pytest.approx([1.0] * len(worth))


def test_a_unit_of_blocks_is_worth_its_best_block() -> None:
    found = learnt("block", "fisher")
    rows: dict[str, torch.Tensor] = {
        part: found.blocks[0, f"attention.self.{part}"].score for part in ("query", "key", "value")
    }
    columns = found.blocks[0, OUT[0]].score
    assert columns.shape == (small.HEADS, small.HEADS)  # blocks as wide as a head
    scores = found.worth(0, OUT[0])
    for head in range(small.HEADS):
        best = max(score[head].max() for score in [*rows.values(), columns.T])
        assert scores[head] == pytest.approx(best.item())
    neurons = found.worth(0, OUT[1])
    into, out = found.blocks[0, "intermediate.dense"].score, found.blocks[0, OUT[1]].score
    assert neurons.tolist() == pytest.approx(torch.maximum(into[:, 0], out[0]).tolist())


@pytest.mark.parametrize("structure", ["heads_ffn", "block", "layers", "unstructured"])
@pytest.mark.parametrize("scope", ["global", "layer"])
def test_masks_keep_what_was_asked(structure: str, scope: str) -> None:
    found = learnt(structure, "fisher")
    found.options = found.options.model_copy(update={"scope": scope})
    unit = {"layers": 1 / small.LAYERS, "unstructured": 1e-3}.get(structure, 0.05)
    for keep in (0.8, 0.4):
        found.mask(keep)
        assert found.kept_share() == pytest.approx(keep, abs=unit * (1 + 2 * (scope == "layer")))
        if structure != "layers":
            assert found.kept_share() <= keep + 1e-3


@pytest.mark.parametrize("share", [0.0, 0.1, 0.37, 0.9, 1.0])
def test_of_equal_weights_the_first_ones_stay(share: float) -> None:
    torch.manual_seed(0)
    scores = torch.randint(0, 7, (1000,)).float()
    order = torch.argsort(scores, descending=True, stable=True)
    kept = torch.zeros(1000)
    kept[order[: round(share * 1000)]] = 1
    assert torch.equal(unstructured._largest(scores, share), kept)


def test_a_closed_gate_is_as_good_as_a_cut() -> None:
    """Of a neuron: its bias and its row do nothing either, once nobody reads it."""
    model = small.model()
    found: Any = small.pruning(model, 0.5).structure
    assert isinstance(found, HeadsFfn)
    found.gates[0, OUT[1]].mask[0, 3] = 0
    closed = small.logits(model, small.batch())
    layer: Any = families.layers(model)[0]
    with torch.no_grad():
        layer.intermediate.dense.bias[3] += 100
    assert torch.equal(small.logits(model, small.batch()), closed)
