"""A student has some of its teacher's layers, with their weights, in every family."""

from pathlib import Path

import pytest
import torch
from transformers import AutoConfig, AutoModelForSequenceClassification, PreTrainedModel

from jpqd.core.errors import UserError
from jpqd.model import loading
from jpqd.model.student import evenly, layers_of, shorten
from tests.e2e.test_families import COMMON, SIZES

DEPTH = {"num_hidden_layers": 4, "n_layers": 4}


def network(family: str) -> PreTrainedModel:
    torch.manual_seed(1)
    sizes = SIZES[family] if family == "distilbert" else {**COMMON, **SIZES[family]}
    deep = {**sizes, **{key: 4 for key in DEPTH if key in sizes}}
    config = AutoConfig.for_model(family, vocab_size=50, **deep)
    return AutoModelForSequenceClassification.from_config(config).eval()


@pytest.mark.parametrize(
    ("count", "total", "expected"),
    [(1, 4, (4,)), (2, 4, (2, 4)), (4, 12, (3, 6, 9, 12)), (6, 12, (2, 4, 6, 8, 10, 12)),
     (5, 12, (3, 5, 8, 10, 12)), (3, 3, (1, 2, 3)), (4, 2, (1, 1, 2, 2))],
)  # fmt: skip
def test_layers_are_spaced_evenly_and_the_last_is_one_of_them(
    count: int, total: int, expected: tuple[int, ...]
) -> None:
    assert evenly(count, total) == expected


@pytest.mark.parametrize("family", SIZES)
@pytest.mark.parametrize(("wanted", "kept"), [(2, [1, 3]), ((1, 3), [0, 2])])
def test_a_student_has_the_weights_of_the_chosen_layers_and_all_the_rest(
    family: str, wanted: int | tuple[int, ...], kept: list[int], tmp_path: Path
) -> None:
    teacher, student = network(family), network(family)
    shorten(student, wanted, "student")
    student.save_pretrained(tmp_path)
    loaded = loading.load(tmp_path)
    assert loaded.config.num_hidden_layers == len(kept) == len(layers_of(loaded))
    for layer, number in zip(layers_of(loaded), kept, strict=True):
        same_weights(layer, layers_of(teacher)[number])
    del layers_of(loaded)[:]
    del layers_of(teacher)[:]
    same_weights(loaded, teacher)


def same_weights(ours: torch.nn.Module, theirs: torch.nn.Module) -> None:
    expected = theirs.state_dict()
    assert ours.state_dict().keys() == expected.keys()
    assert expected
    for name, weight in ours.state_dict().items():
        torch.testing.assert_close(weight, expected[name], rtol=0, atol=0)


@pytest.mark.parametrize("family", SIZES)
def test_a_student_computes_what_its_layers_compute_in_a_row(family: str) -> None:
    student, ids = network(family), torch.arange(5, 15).reshape(2, 5)
    full = student(ids, output_hidden_states=True).hidden_states
    shorten(student, (1, 2, 3), "student")
    shorter = student(ids, output_hidden_states=True).hidden_states
    torch.testing.assert_close(shorter, full[:-1])


@pytest.mark.parametrize("wanted", [5, (1, 5)])
def test_more_layers_than_there_are_is_a_mistake(wanted: int | tuple[int, ...]) -> None:
    with pytest.raises(UserError, match=r"small: student\.layers: the model has 4 layers \(got"):
        shorten(network("bert"), wanted, "small: student.layers")
