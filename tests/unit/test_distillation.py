"""The terms of distillation against formulas by hand and against what the models say themselves."""

import copy
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional
from transformers import AutoConfig, AutoModelForSequenceClassification, PreTrainedModel

from jpqd.core.errors import UserError
from jpqd.methods.distill import Distill
from jpqd.methods.distill.inside import PROJECTION, Inside, Recorder, mean_attention
from jpqd.methods.distill.known import KnownAnswers
from jpqd.methods.distill.likeliest import Likeliest
from jpqd.methods.distill.losses import Following, exchanged
from jpqd.model import families
from jpqd.model.student import layers_of
from jpqd.scores.divergence import softened
from jpqd.tasks.classification import Classification
from jpqd.tasks.regression import Regression
from tests.e2e.test_families import COMMON, SIZES
from tests.helpers import small


def known(logits: torch.Tensor) -> KnownAnswers:
    return KnownAnswers(logits.numpy(), np.arange(len(logits)))


CLASSES = Classification(("a", "b"), ("a", "b"))
BATCH = {
    "input_ids": torch.tensor([[5, 6, 7, 8], [9, 10, 0, 0]]),
    "attention_mask": torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0]]),
}
REAL = BATCH["attention_mask"].bool()


def network(family: str = "bert", **changes: Any) -> PreTrainedModel:
    sizes = SIZES[family] if family == "distilbert" else {**COMMON, **SIZES[family]}
    config = AutoConfig.for_model(family, vocab_size=50, **{**sizes, **changes})
    config._attn_implementation = "eager"
    torch.manual_seed(2)
    made = AutoModelForSequenceClassification.from_config(config, attn_implementation="eager")
    for weight in made.parameters():
        nn.init.normal_(weight, std=0.3)
    return made.eval()


def teacher(made: PreTrainedModel) -> Any:
    def answer(batch: dict[str, torch.Tensor]) -> torch.Tensor:
        with torch.no_grad():
            logits: torch.Tensor = made(batch["input_ids"], batch["attention_mask"]).logits
            return logits

    return SimpleNamespace(network=made, answer=answer)


def method(**settings: Any) -> Distill:
    return Distill.model_validate({"use": "distill", "teacher": "dense", **settings})


def following(student: PreTrainedModel, made: PreTrainedModel, **settings: Any) -> Following:
    chosen = method(**settings)
    return Following(chosen, CLASSES, inside=Inside(chosen, student, teacher(made), "small"))


def inside_term(student: PreTrainedModel, hooks: Following) -> torch.Tensor:
    """Of a batch in training mode without the randomness of dropout."""
    for module in student.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    student.train()
    return hooks.loss({**BATCH, "labels": None}, student(**BATCH))


def test_the_divergence_of_predictions_is_what_the_formula_says() -> None:
    student = np.array([[1.0, -1.0, 0.5], [0.0, 2.0, 1.0]])
    said = np.array([[2.0, 0.0, 0.0], [1.0, 3.0, -1.0]])
    p, q = (np.exp(x / 3) / np.exp(x / 3).sum(1, keepdims=True) for x in (said, student))
    expected = 9 * (p * np.log(p / q)).sum() / 2
    found = softened(torch.tensor(student), torch.tensor(said), 3.0)
    assert found.item() == pytest.approx(expected)


def kept(logits: torch.Tensor, counts: list[int], top: int, temperature: float) -> Likeliest:
    best = functional.log_softmax(logits / temperature, -1).topk(top, -1)
    found = {"logs": best.values, "ids": best.indices.int(), "counts": torch.tensor(counts)}
    return Likeliest({name: tensor.numpy() for name, tensor in found.items()})


def test_the_likeliest_tokens_are_compared_and_the_others_as_one() -> None:
    """Row 0 has two answers, row 1 three, row 2 one; the batch has rows 2 and 0."""
    torch.manual_seed(0)
    teacher, student = 3 * torch.randn(6, 12), 3 * torch.randn(3, 12)
    rows, own = torch.tensor([2, 0]), teacher[[5, 0, 1]]
    exact = softened(student, own, 2.0)
    whole = kept(teacher, [2, 3, 1], 12, 2.0).divergence(student, rows, 2.0)
    torch.testing.assert_close(whole, exact, atol=1e-3, rtol=1e-3)
    some = kept(teacher, [2, 3, 1], 4, 2.0).divergence(student, rows, 2.0)
    assert 0 < some < exact, "what is put together tells less apart"
    chosen = functional.softmax(own / 2, -1).topk(4, -1)
    ours = functional.softmax(student / 2, -1).gather(-1, chosen.indices)
    p, q = (torch.cat([one, 1 - one.sum(-1, keepdim=True)], -1) for one in (chosen.values, ours))
    torch.testing.assert_close(some, 4 * (p * (p / q).log()).sum(-1).mean(), atol=1e-4, rtol=1e-4)


def test_a_table_of_predictions_is_looked_up_by_row() -> None:
    said = torch.tensor([[9.0, 9.0], [2.0, 0.0], [9.0, 9.0], [0.0, 1.0]])
    hooks = Following(method(weight=0.7, temperature=1.0), CLASSES, known=known(said))
    logits = torch.tensor([[0.5, 0.0], [0.0, 0.0]])
    found = hooks.loss(
        {"row": torch.tensor([3, 1]), "labels": None}, SimpleNamespace(logits=logits)
    )
    assert found.item() == pytest.approx(0.7 * softened(logits, said[[3, 1]], 1.0).item())
    assert hooks.task_weight == pytest.approx(0.3)
    assert hooks.step(0.5) == {"distill_loss": pytest.approx(found.item(), abs=1e-6)}


def test_regression_is_the_squared_difference_whatever_the_temperature() -> None:
    said = torch.tensor([[1.0], [4.0]])
    hooks = Following(method(weight=0.5, temperature=7.0), Regression(), known=known(said))
    logits = torch.tensor([[2.0], [2.0]])
    found = hooks.loss(
        {"row": torch.tensor([0, 1]), "labels": None}, SimpleNamespace(logits=logits)
    )
    assert found.item() == pytest.approx(0.5 * (1 + 4) / 2)


@pytest.mark.parametrize("family", SIZES)
def test_what_is_recorded_is_what_the_model_itself_says(family: str) -> None:
    made, recorder = network(family), Recorder()
    recorder.start(made)
    out = made(**BATCH, output_hidden_states=True, output_attentions=True)
    recorder.stop()
    before = copy.copy(recorder.hidden)
    made(**BATCH)
    assert all(recorder.hidden[layer] is before[layer] for layer in (0, 1))
    for layer in (0, 1):
        torch.testing.assert_close(recorder.hidden[layer], out.hidden_states[layer + 1])
        if families.shows_attention(made):
            found = mean_attention(recorder.queries[layer], recorder.keys[layer], REAL, 16)
            torch.testing.assert_close(found[REAL], out.attentions[layer].mean(1)[REAL])


@pytest.mark.parametrize("family", SIZES)
def test_a_student_that_is_its_teacher_has_nothing_to_learn(family: str) -> None:
    made = network(family)
    student = copy.deepcopy(made)
    seen = float(families.shows_attention(made))
    hooks = following(student, made, hidden=1.0, attention=seen)
    assert inside_term(student, hooks).item() == pytest.approx(0, abs=1e-5)
    with torch.no_grad():
        layers_of(student)[1].get_parameter(query_of(student, 1)).mul_(-20)
    assert inside_term(student, hooks).item() > (1e-3 if seen else 1e-6)


def query_of(made: PreTrainedModel, layer: int) -> str:
    names = [name for name, _ in layers_of(made)[layer].named_parameters()]
    return next(name for name in names if name.split(".")[-2] in ("query", "q_lin", "q"))


def test_hidden_states_are_compared_layer_by_layer_over_real_tokens_only() -> None:
    student, made = network(num_hidden_layers=1), network(num_hidden_layers=3)
    hooks = following(student, made, weight=0.0, hidden=2.0, layers=[2])
    found = inside_term(student, hooks)
    ours, theirs = (one.eval()(**BATCH, output_hidden_states=True) for one in (student, made))
    gap = (ours.hidden_states[1] - theirs.hidden_states[2]).square().mean(-1)
    expected = (gap[0].mean() + gap[1, :2].mean()) / 2
    assert found.item() == pytest.approx(2 * expected.item(), rel=1e-5)


def test_attention_is_compared_by_divergence_over_real_tokens_only() -> None:
    student, made = network(num_attention_heads=4), network(hidden_size=64)
    hooks = following(student, made, weight=0.0, attention=1.0)
    found = inside_term(student, hooks)
    ours, theirs = (one.eval()(**BATCH, output_attentions=True).attentions
                    for one in (student, made))  # fmt: skip
    expected = 0.0
    for layer in (0, 1):
        q, p = (one[layer].mean(1) for one in (ours, theirs))
        tokens = torch.special.xlogy(p, p / q.clamp_min(1e-9)).sum(-1)
        expected += (tokens[0].mean() + tokens[1, :2].mean()).item() / 2
    assert found.item() == pytest.approx(expected / 2, rel=1e-4)


def test_heads_that_are_pruned_between_two_steps_do_no_harm() -> None:
    made = network()
    student = copy.deepcopy(made)
    hooks = following(student, made, weight=0.0, attention=1.0)
    assert inside_term(student, hooks).item() == pytest.approx(0, abs=1e-6)
    first, second = (layer.attention.self for layer in layers_of(student))
    narrow(first, 16)
    one_head = inside_term(student, hooks)
    assert one_head.item() > 0
    one_head.backward()
    assert first.query.weight.grad is not None
    second.forward = lambda hidden, *_, **__: (torch.zeros_like(hidden), None)
    without = inside_term(student, hooks)  # the second layer has no head: only the first one counts
    narrow(first, 0)
    first.forward = lambda hidden, *_, **__: (torch.zeros_like(hidden), None)
    assert 0 < without.item() <= one_head.item()
    assert inside_term(student, hooks).item() == 0


def narrow(attention: Any, width: int) -> None:
    for name in ("query", "key", "value"):
        old = getattr(attention, name)
        new = nn.Linear(32, width)
        new.weight.data, new.bias.data = old.weight.data[:width], old.bias.data[:width]
        setattr(attention, name, new)
    output = torch.zeros(2, 4, 32 - width)
    wide = attention.forward

    def forward(*args: Any, **kwargs: Any) -> Any:
        found, weights = wide(*args, **kwargs)
        return torch.cat([found, output], -1), weights

    attention.forward = forward


def test_another_width_is_bridged_by_a_projection_that_learns_and_goes() -> None:
    student, made = network(), network(hidden_size=64, num_hidden_layers=4)
    before = set(student.state_dict())
    hooks = following(student, made, hidden=1.0)
    inside_term(student, hooks).backward()
    assert getattr(student, PROJECTION).weight.grad.abs().sum() > 0
    assert hooks.finish(student) is student
    assert set(student.state_dict()) == before
    assert not student._forward_hooks
    assert not student._forward_pre_hooks


@pytest.mark.parametrize("layers", [[1], [1, 5], [1, 2, 3]])
def test_a_layer_map_that_does_not_fit_is_a_mistake(layers: list[int]) -> None:
    with pytest.raises(UserError, match="small: distill: layers needs 2 numbers from 1 to 4"):
        following(network(), network(num_hidden_layers=4), hidden=1.0, layers=layers)


def test_attention_that_is_not_found_is_a_mistake() -> None:
    config = AutoConfig.for_model("deberta", vocab_size=50, **COMMON)
    made = AutoModelForSequenceClassification.from_config(config)
    with pytest.raises(UserError, match=r"small: distill: the attention .* 'deberta' cannot"):
        following(made, network(), attention=1.0)
    following(made, network(), hidden=1.0)


@pytest.mark.parametrize("family", small.FAMILIES)
def test_attention_is_what_the_model_itself_says_or_is_refused(family: str) -> None:
    made = small.model(family)
    if family in ("deberta-v2", "modernbert", "mpnet"):  # positions come between queries and keys
        with pytest.raises(UserError, match=rf"the attention .* '{family}' cannot be compared"):
            following(made, network(), attention=1.0)
        return
    made.set_attn_implementation("eager")
    recorder, given = Recorder(), small.batch()
    recorder.start(made)
    out = made(**given, output_attentions=True)
    real, size = given["attention_mask"].bool(), families.head_size(made)
    for layer, told in enumerate(out.attentions):
        found = mean_attention(recorder.queries[layer], recorder.keys[layer], real, size)
        torch.testing.assert_close(found[real], told.mean(1)[real])


def test_exchanged_tokens_come_from_the_batch_and_leave_the_special_ones() -> None:
    torch.manual_seed(0)
    ids = torch.tensor([[2, *range(10, 40), 3], [2, *range(40, 60), 3, *[0] * 10]])
    found = exchanged(ids, special=[0, 2, 3], share=0.3)
    special = torch.isin(ids, torch.tensor([0, 2, 3]))
    assert torch.equal(found[special], ids[special])
    assert set(found[~special].tolist()) <= set(ids[~special].tolist())
    assert 0.15 < (found != ids)[~special].float().mean() < 0.45
    assert torch.equal(exchanged(ids, [0, 2, 3], 0.0), ids)
